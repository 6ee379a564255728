// author.ts — whose change it is, for the audit of the control plane: FAIRLEAD_AUTHOR, or the name of the login.

import { userInfo } from 'node:os'
import type { Context } from './context.ts'

const LENGTH_MAX = 64

/** What the control plane takes: letters, digits and a few signs. Nothing when no name is left. */
export function authorHeader({ env }: Pick<Context, 'env'>): Record<string, string> {
  const name = (env['FAIRLEAD_AUTHOR'] ?? loginName()).replace(/[^\w.@+ -]/g, '').slice(0, LENGTH_MAX)
  return name.trim() === '' ? {} : { 'x-fairlead-author': name }
}

function loginName(): string {
  try {
    return userInfo().username
  } catch {
    return '' // a user id without a name, as in containers: the key alone speaks
  }
}
