/** The same day in the shop, killed 30 times. */
process.env.SOAK ??= '1'
await import('./gateway.shop.test.ts')
