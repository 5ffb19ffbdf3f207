declare module 'node-wifi' {
  /** What `scan` and `getCurrentConnections` give of an access point; the fields of a line it could not split are wrong or NaN. */
  export interface WiFiNetwork {
    ssid: string
    bssid: string
    mode: string
    channel: number
    /** MHz */
    frequency: number
    /** dBm, reckoned from the quality. */
    signal_level: number
    /** Percent. */
    quality: number
    security: string
    /** `getCurrentConnections` only. */
    iface?: string
  }
  const wifi: {
    /** Sets the interface of all later calls in this process. */
    init(options: { iface: string }): void
    scan(): Promise<WiFiNetwork[]>
    getCurrentConnections(): Promise<WiFiNetwork[]>
  }
  export default wifi
}
