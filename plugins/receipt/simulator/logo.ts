/** A picture as tills send their logo: rings, so that a person sees at once whether rows or bits went astray. */

/** `GS v 0`: `stride` bytes across, `height` dots down. */
export function rasterLogo(stride: number, height: number): Buffer {
  const data = Buffer.alloc(stride * height)
  const [cx, cy] = [stride * 4, height / 2]
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < stride * 8; x += 1) {
      const ring = Math.hypot((x - cx) * Math.min(1, height / (stride * 8)), y - cy)
      if (ring < height / 2 && Math.floor(ring / 6) % 2 === 0)
        data[y * stride + (x >> 3)] = (data[y * stride + (x >> 3)] ?? 0) | (0x80 >> (x & 7))
    }
  }
  return Buffer.concat([Buffer.from([0x1d, 0x76, 0x30, 0, stride & 0xff, stride >> 8, height & 0xff, height >> 8]), data])
}
