/**
 * Loaded into each test by tap (`.taprc`): the programs that a test starts are started as they are. tap would put its bookkeeping for
 * coverage into every Node process among them, down to the plugins of a gateway: 0.8 s of CPU each, for nothing.
 */

interface SpawnHooks {
  listeners: unknown[]
}

const hooks = (globalThis as { [key: symbol]: SpawnHooks | undefined })[Symbol.for('process-on-spawn@*:singletonId')]
if (hooks) hooks.listeners = []
delete process.env.NODE_OPTIONS
