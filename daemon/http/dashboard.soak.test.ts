/** The same pages in every width and scheme, with a picture of each to be looked at (in tap's folder of this test). */
process.env.SHOPWIRE_EVERY_VIEW ??= '1'
await import('./dashboard.test.ts')
