// alive.ts — does a process of that id run? Signal 0 asks without doing anything.

export function isAlive(pid: number): boolean {
  if (pid <= 0) return false // 0 and below mean process groups
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // it runs, as another user
  }
}
