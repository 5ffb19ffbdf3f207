/** The same promise, 50 kills long. */
process.env.SHOPWIRE_CRASH_KILLS ??= '50'
await import('./gateway.crash.test.ts')
