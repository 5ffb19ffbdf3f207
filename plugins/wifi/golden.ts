/**
 * What nmcli says. `CAPTURED`: nmcli 1.42.4 of Debian 12, run against a mock of NetworkManager's D-Bus interface (python-dbusmock, template
 * networkmanager) on a bus of its own, or against a bus without NetworkManager, or none. `PUBLISHED`: a log of a real site, from the
 * test data of node-wifi 2.0.16 (src/linux/scan/__logs__, MIT), addresses as there.
 */

export const CAPTURED = {
  /** `--terse --fields active,ssid,bssid,mode,chan,freq,signal,security,wpa-flags,rsn-flags device wifi list`: node-wifi's scan. */
  scan: String.raw`no:Shop Office:D8\:47\:32\:00\:00\:01:Infra:11:2462 MHz:71:WPA1 WPA2:pair_ccmp group_ccmp psk:pair_ccmp group_ccmp psk
no:café\: a\\b:D8\:47\:32\:00\:00\:02:Infra:36:5180 MHz:40::(none):(none)
no::D8\:47\:32\:00\:00\:04:Infra:1:2412 MHz:33:WPA1 WPA2:pair_ccmp group_ccmp psk:pair_ccmp group_ccmp psk
no:A&&B:D8\:47\:32\:00\:00\:03:Infra:6:2437 MHz:33:WPA1 WPA3:pair_ccmp group_ccmp sae:pair_ccmp group_ccmp sae
no:AA\:BB\:CC\:DD\:EE\:FF:D8\:47\:32\:00\:00\:05:Infra:1:2412 MHz:21:WPA1 WPA2:pair_ccmp group_ccmp psk:pair_ccmp group_ccmp psk
no:café:D8\:47\:32\:00\:00\:06:Infra:149:5745 MHz:12:WPA1 WPA2 WPA3:pair_ccmp group_ccmp psk sae:pair_ccmp group_ccmp psk sae
`,
  /** `--terse --fields ACTIVE,DEVICE,BSSID,SSID-HEX,MODE,CHAN,FREQ,SIGNAL,SECURITY device wifi list ifname wlan0 --rescan no` of the same air. */
  exact: String.raw`no:wlan0:D8\:47\:32\:00\:00\:01:53686F70204F6666696365:Infra:11:2462 MHz:71:WPA1 WPA2
no:wlan0:D8\:47\:32\:00\:00\:02:636166C3A93A20615C62:Infra:36:5180 MHz:40:
no:wlan0:D8\:47\:32\:00\:00\:04::Infra:1:2412 MHz:33:WPA1 WPA2
no:wlan0:D8\:47\:32\:00\:00\:03:41262642:Infra:6:2437 MHz:33:WPA1 WPA3
no:wlan0:D8\:47\:32\:00\:00\:05:41413A42423A43433A44443A45453A4646:Infra:1:2412 MHz:21:WPA1 WPA2
no:wlan0:D8\:47\:32\:00\:00\:06:636166E91B:Infra:149:5745 MHz:12:WPA1 WPA2 WPA3
`,
  /** `-t -f GENERAL.DEVICE,GENERAL.TYPE,GENERAL.STATE,GENERAL.REASON,GENERAL.CONNECTION,GENERAL.CON-UUID,IP4.ADDRESS,… device show` */
  devices: `GENERAL.DEVICE:wlan0
GENERAL.TYPE:wifi
GENERAL.STATE:100 (connected)
GENERAL.REASON:0 (No reason given)
GENERAL.CONNECTION:
GENERAL.CON-UUID:

GENERAL.DEVICE:eth0
GENERAL.TYPE:ethernet
GENERAL.STATE:20 (unavailable)
GENERAL.REASON:0 (No reason given)
GENERAL.CONNECTION:
GENERAL.CON-UUID:
`,
  /** `-t -f RUNNING,STATE,CONNECTIVITY,WIFI-HW,WIFI general status` */
  general: 'running:connected:full:missing:enabled\n',
  /** `connection add type wifi con-name shopwire-x ifname wlan0 ssid -a connection.autoconnect no` */
  added: "Connection 'shopwire-x' (18872552-2801-4fb6-b9d1-cec067ab09be) successfully added.\n",
  /** Exit code and standard error. */
  errors: [
    { of: 'any call, a D-Bus but no NetworkManager', code: 8, text: 'Error: NetworkManager is not running.\n', kind: 'no-networkmanager' },
    {
      of: 'any call, no D-Bus',
      code: 1,
      text: 'Error: Could not create NMClient object: Could not connect: No such file or directory.\n',
      kind: 'no-networkmanager',
    },
    {
      of: 'connection up uuid …',
      code: 10,
      text: "Error: unknown connection '11111111-2222-3333-4444-555555555555'.\n",
      kind: 'not-found',
    },
    { of: 'connection show uuid nope', code: 10, text: 'Error: nope - no such connection profile.\n', kind: 'not-found' },
    { of: 'device wifi list ifname wlan9', code: 10, text: "Error: Device 'wlan9' not found.\n", kind: 'not-found' },
    {
      of: '-t -f BOGUS device wifi list',
      code: 2,
      text: "Error: 'device wifi': invalid field 'BOGUS'; allowed fields: NAME,SSID,SSID-HEX,BSSID,MODE,CHAN,FREQ,RATE,SIGNAL,BARS,SECURITY,WPA-FLAGS,RSN-FLAGS,DEVICE,ACTIVE,IN-USE,DBUS-PATH\n",
      kind: 'refused',
    },
  ],
} as const

export const PUBLISHED = {
  scan: String.raw`no:Linksys01777:31\:23\:03\:1A\:9F\:1C:Infra:11:2462 MHz:100:WPA2:(none):pair_ccmp group_ccmp psk
no:Linksys01777-invité:31\:23\:03\:18\:9F\:1C:Infra:11:2462 MHz:100::(none):(none)
no:EBOX_6070:00\:21\:6A\:75\:60\:22:Infra:11:2462 MHz:100:WPA1 WPA2:pair_tkip pair_ccmp group_tkip psk:pair_tkip pair_ccmp group_tkip psk
yes:Linksys01777_5GHz:31\:23\:03\:1A\:9F\:1D:Infra:36:5180 MHz:75:WPA2:(none):pair_ccmp group_ccmp psk
no::A1\:6A\:BB\:E9\:FC\:E5:Infra:100:5500 MHz:30:WPA2:(none):pair_ccmp group_ccmp psk
`,
} as const
