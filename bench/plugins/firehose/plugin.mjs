/** Keeps this many events on the way: enough for full batches, well under the host's limit. */
const WINDOW = 2_500

/** @type {import('../../../daemon/contract/plugin.ts').StartPlugin} */
export default async (context) => ({
  async handle({ args }) {
    const pad = 'x'.repeat(args.pad)
    let acknowledged = 0
    let open = 0
    let wake = () => {}
    const settled = () => {
      open -= 1
      wake()
    }
    for (let n = args.from; n < args.from + args.count; n++) {
      open += 1
      context.emit({ device: '-', event: 'drop', data: { n, pad } }).then(() => {
        acknowledged += 1
        settled()
      }, settled)
      while (open >= WINDOW) await new Promise((resolve) => (wake = resolve))
    }
    while (open > 0) await new Promise((resolve) => (wake = resolve))
    return { acknowledged }
  },
  async stop() {},
})
