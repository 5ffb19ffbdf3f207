/**
 * Stands in for the package of this name where noble requires it: noble's `new BluetoothHciSocket()` gets the socket it was
 * handed beforehand. The real one throws in its constructor where there is no Bluetooth.
 */
let handed

function BluetoothHciSocket() {
  const socket = handed
  handed = undefined
  if (socket === undefined) throw new Error('noble opened a Bluetooth socket that nobody handed to it')
  return socket
}

module.exports = BluetoothHciSocket
module.exports.hand = (socket) => {
  handed = socket
}
/** The real socket's class: a native addon, loaded on the first call. */
module.exports.loadNative = () => require('@abandonware/bluetooth-hci-socket/lib/native.js')
