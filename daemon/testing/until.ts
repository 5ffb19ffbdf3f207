/**
 * Looks again after 5 ms, then less and less often, down to ten times a second, until `done` holds. When the time is over it looks once
 * more: a process that was held up hears only then what came in meanwhile.
 */
export async function until(done: () => boolean | Promise<boolean>, what: string, ms = 100_000): Promise<void> {
  const end = performance.now() + ms
  let late = false
  for (let pause = 5; !(await done()); pause = Math.min(100, pause * 1.5)) {
    if (late) throw new Error(`waited ${ms} ms for: ${what}`)
    late = performance.now() > end
    await new Promise((wake) => setTimeout(wake, pause))
  }
}
