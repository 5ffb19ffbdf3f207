/** Writes a tree of stateless Preact components as HTML. They use no hooks, so forty lines do, and nothing more is loaded on the box. */
import { type ComponentChildren, type FunctionComponent, isValidElement } from 'preact'

const VOID = new Set(['br', 'hr', 'img', 'input', 'link', 'meta'])
const NAMES: Record<string, string> = {
  className: 'class',
  htmlFor: 'for',
  dateTime: 'datetime',
  tabIndex: 'tabindex',
  readOnly: 'readonly',
}

export function renderHtml(node: ComponentChildren): string {
  if (node === null || node === undefined || typeof node === 'boolean') return ''
  if (Array.isArray(node)) return node.map(renderHtml).join('')
  if (!isValidElement(node)) return escapeHtml(String(node))
  const { type, props } = node
  if (typeof type === 'function') return renderHtml((type as FunctionComponent<object>)(props, {}))
  const { children, ...attributes } = props as { children?: ComponentChildren } & Record<string, unknown>
  const open = `<${type}${Object.entries(attributes).map(attribute).join('')}>`
  return VOID.has(type) ? open : `${open}${renderHtml(children)}</${type}>`
}

function attribute([name, value]: [string, unknown]): string {
  if (name === 'key' || name === 'ref' || typeof value === 'function' || value === undefined || value === null) return ''
  // The chosen option carries `selected`: a select has no value attribute in HTML.
  const plain = name.startsWith('aria-') ? String(value) : value
  if (plain === false) return ''
  return plain === true ? ` ${NAMES[name] ?? name}` : ` ${NAMES[name] ?? name}="${escapeHtml(String(plain))}"`
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`)
}
