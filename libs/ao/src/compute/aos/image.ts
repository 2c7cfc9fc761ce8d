/** Sparse images of a WebAssembly memory: its size and its pages that are not all zero. An aos memory has about 100 MiB, of which a few hold anything. */
const PAGE = 65_536;
const ZERO = Buffer.alloc(PAGE);
const ENTRY = 4 + PAGE;

/** @param memory whose length is a multiple of 64 KiB, as WebAssembly's always is */
export function imageOf(memory: ArrayBufferLike): Buffer {
  const bytes = Buffer.from(memory);
  const used: number[] = [];
  for (let page = 0; page < bytes.length / PAGE; page += 1) {
    if (!bytes.subarray(page * PAGE, (page + 1) * PAGE).equals(ZERO)) used.push(page);
  }
  const image = Buffer.allocUnsafe(4 + used.length * ENTRY);
  image.writeUInt32LE(bytes.length / PAGE);
  used.forEach((page, i) => {
    image.writeUInt32LE(page, 4 + i * ENTRY);
    bytes.copy(image, 8 + i * ENTRY, page * PAGE, (page + 1) * PAGE);
  });
  return image;
}

/** Bytes of the memory an image is of. */
export function imageSize(image: Buffer): number {
  return image.readUInt32LE() * PAGE;
}

/** The whole memory an image is of. @throws RangeError when the image is cut short */
export function memoryOf(image: Buffer): Buffer {
  const memory = Buffer.alloc(imageSize(image));
  for (let at = 4; at < image.length; at += ENTRY) {
    const page = image.readUInt32LE(at);
    if (at + ENTRY > image.length || (page + 1) * PAGE > memory.length) throw new RangeError('The image is cut short.');
    image.copy(memory, page * PAGE, at + 4, at + ENTRY);
  }
  return memory;
}
