import type { LoginOptions } from './page-module.ts'
import type { Words } from './words.ts'

/** A plain form: it must work in any browser, with no script. */
export function Login({ words, shop, fault }: { words: Words; shop: string; fault: LoginOptions['fault'] }) {
  const message =
    fault === undefined ? '' : fault.kind === 'wrong' ? words.say('login.wrong') : words.say('login.wait', { n: fault.seconds })
  return (
    <main class="login">
      <form class="card" method="post" action="/login">
        <h1>{words.say('login.title', { shop })}</h1>
        <p role="alert" class="fault">
          {message}
        </p>
        <input type="hidden" name="lang" value={words.lang} />
        <input class="unseen" type="text" name="username" autocomplete="username" value={shop} tabIndex={-1} aria-hidden="true" readOnly />
        <label for="secret">{words.say('login.secret')}</label>
        <input id="secret" name="secret" type="password" autocomplete="current-password" required autofocus />
        <button class="button primary" type="submit">
          {words.say('login.submit')}
        </button>
        <a class="tool" href={`/login?lang=${words.lang === 'zh' ? 'en' : 'zh'}`} lang={words.lang === 'zh' ? 'en' : 'zh-CN'}>
          {words.say('lang.other')}
        </a>
      </form>
    </main>
  )
}
