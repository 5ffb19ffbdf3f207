/**
 * nmcli's terse output. Tabular: fields between colons, `\` before each `:` and `\` of a value (nmcli(1), --escape). One
 * property a line (`device show`, `connection show`): `NAME:value` with the value as it is, devices parted by an empty line.
 */

/** Rows of tabular output. */
export function rows(output: string): string[][] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map(fields)
}

function fields(line: string): string[] {
  const found: string[] = []
  let value = ''
  for (let at = 0; at < line.length; at++) {
    const char = line[at]
    if (char === '\\' && at + 1 < line.length) value += line[++at]
    else if (char === ':') {
      found.push(value)
      value = ''
    } else value += char
  }
  found.push(value)
  return found
}

/** Sections of property-a-line output. An indexed property (`IP4.ADDRESS[1]`) is listed under its name. */
export function sections(output: string): Map<string, string[]>[] {
  return output
    .split(/\n\n+/)
    .map((block) => {
      const section = new Map<string, string[]>()
      for (const line of block.split('\n')) {
        const [, name, value] = /^([A-Z0-9a-z.-]+)(?:\[\d+\])?:(.*)$/.exec(line) ?? []
        if (name === undefined || value === undefined) continue
        const values = section.get(name) ?? []
        if (value !== '') values.push(value)
        section.set(name, values)
      }
      return section
    })
    .filter((section) => section.size > 0)
}

/** As nmcli writes a value of a tabular row. */
export function escaped(value: string): string {
  return value.replace(/[\\:]/g, '\\$&')
}
