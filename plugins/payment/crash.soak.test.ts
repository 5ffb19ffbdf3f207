/** crash.test.ts, at every step. */
await import('./crash.test.ts')

export {}
