// window.ts — how many attempts one instance may hold: grows by one on success, halves when it refuses.
//
// Never above the slots that the worker announced, never below one. Pure.

export interface Window {
  readonly size: number
  readonly slots: number
}

export const startWindow = (slots: number): Window => ({ size: slots, slots })
export const grow = (window: Window): Window => ({ ...window, size: Math.min(window.slots, window.size + 1) })
export const halve = (window: Window): Window => ({ ...window, size: Math.max(1, Math.floor(window.size / 2)) })
export const resize = (window: Window, slots: number): Window => ({ size: Math.min(window.size, slots), slots })
