const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return crc
})

/**
 * The CRC-32 (IEEE) of the string's UTF-8 bytes, as a signed 32-bit integer: a JavaScript engine keeps that in a
 * register, where an unsigned one becomes an object. A lone surrogate counts as U+FFFD, as in `TextEncoder`.
 *
 * @internal
 */
export const crc32 = (text: string): number => {
  let crc = -1
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i)
    if (code < 0x80) {
      crc = (crc >>> 8) ^ crcTable[(crc ^ code) & 0xff]!
      continue
    }
    if (code < 0x800) {
      crc = (crc >>> 8) ^ crcTable[(crc ^ (0xc0 | (code >> 6))) & 0xff]!
    } else {
      // charCodeAt past the end is NaN, which no comparison accepts
      const next = text.charCodeAt(i + 1)
      if (code >= 0xd800 && code < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
        i++
        code = 0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00)
        crc = (crc >>> 8) ^ crcTable[(crc ^ (0xf0 | (code >> 18))) & 0xff]!
        crc = (crc >>> 8) ^ crcTable[(crc ^ (0x80 | ((code >> 12) & 0x3f))) & 0xff]!
      } else {
        if (code >= 0xd800 && code < 0xe000) code = 0xfffd
        crc = (crc >>> 8) ^ crcTable[(crc ^ (0xe0 | (code >> 12))) & 0xff]!
      }
      crc = (crc >>> 8) ^ crcTable[(crc ^ (0x80 | ((code >> 6) & 0x3f))) & 0xff]!
    }
    crc = (crc >>> 8) ^ crcTable[(crc ^ (0x80 | (code & 0x3f))) & 0xff]!
  }
  return ~crc
}
