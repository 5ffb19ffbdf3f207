/** State is an icon, a word and a colour: never the colour alone. */
export type Tone = 'good' | 'bad' | 'idle' | 'wait'

const SHAPES: Record<Tone, string> = {
  good: 'M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20Zm-1.4 14.6-4.4-4.4 1.7-1.7 2.7 2.7 5.5-5.5 1.7 1.7Z',
  bad: 'M12 2 1 21h22Zm-1.2 7h2.4v6h-2.4Zm0 7.4h2.4v2.4h-2.4Z',
  idle: 'M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20ZM7 10.8h10v2.4H7Z',
  wait: 'M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20Zm1.2 4.5v5l3.5 3.5-1.7 1.7-4.2-4.2v-6Z',
}

export function Icon({ tone }: { tone: Tone }) {
  return (
    <svg class={`icon ${tone}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path fill-rule="evenodd" d={SHAPES[tone]} />
    </svg>
  )
}

export function State({ tone, word }: { tone: Tone; word: string }) {
  return (
    <span class={`state ${tone}`}>
      <Icon tone={tone} />
      {word}
    </span>
  )
}
