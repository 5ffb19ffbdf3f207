/**
 * What phones and computers ask to find out whether they are online, and the answer they hope for. Once a station is let out the network
 * passes these on; one that reaches us all the same (a connection kept open, a resolver's old answer) is answered as its vendor would.
 */
export interface ProbeAnswer {
  status: 200 | 204
  type: string
  body: string
}

const NO_CONTENT: ProbeAnswer = { status: 204, type: '', body: '' }
const text = (body: string): ProbeAnswer => ({ status: 200, type: 'text/plain', body })
const html = (body: string): ProbeAnswer => ({ status: 200, type: 'text/html', body })

const APPLE = html('<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>')
const FIREFOX = html('<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>')

/** By host, then by path. `*`: every path. */
const PROBES: Record<string, Record<string, ProbeAnswer>> = {
  'captive.apple.com': { '*': APPLE },
  'www.apple.com': { '/library/test/success.html': APPLE },
  'www.msftconnecttest.com': { '/connecttest.txt': text('Microsoft Connect Test') },
  'www.msftncsi.com': { '/ncsi.txt': text('Microsoft NCSI') },
  'detectportal.firefox.com': { '/success.txt': text('success\n'), '/canonical.html': FIREFOX },
  'nmcheck.gnome.org': { '/check_network_status.txt': text('NetworkManager is online\n') },
  'connectivity-check.ubuntu.com': { '*': NO_CONTENT },
}

/** Android and its makers' own servers all ask for `/generate_204`: gstatic, google, miui, oppo, vivo, huawei, honor, and those to come. */
const GENERATE_204 = /^\/(generate|gen)_?204$/

export function probeAnswer(host: string, path: string): ProbeAnswer | undefined {
  if (GENERATE_204.test(path)) return NO_CONTENT
  const paths = PROBES[host]
  return paths?.[path] ?? paths?.['*']
}
