// The audio thread of a page, at 8 kHz: microphone -> mu-law frames of 20 ms, and frames -> loudspeaker.
// Playing begins when 60 ms are there, begins anew after a gap, and what is more than 200 ms behind is cut to 60.

const FRAME = 160;
const START = 480;
const LIMIT = 1600;

const EXPANDED = Float32Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const size = ((((bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4)) - 0x84;
  return (bits & 0x80 ? -size : size) / 32768;
});

function compressed(sample) {
  const size = Math.min(Math.round(Math.abs(sample) * 32768), 32635) + 0x84;
  const segment = 31 - Math.clz32(size >> 7);
  return ~((sample < 0 ? 0x80 : 0) | (segment << 4) | ((size >> (segment + 3)) & 0x0f)) & 0xff;
}

class Telephone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.spoken = new Uint8Array(FRAME);
    this.n = 0;
    this.heard = [];
    this.plays = false;
    this.port.onmessage = (event) => this.take(new Uint8Array(event.data));
  }

  take(frame) {
    for (const code of frame) this.heard.push(EXPANDED[code]);
    if (this.heard.length >= START) this.plays = true;
    if (this.heard.length > LIMIT) this.heard.splice(0, this.heard.length - START);
  }

  process(inputs, outputs) {
    for (const sample of inputs[0]?.[0] ?? []) {
      this.spoken[this.n++] = compressed(sample);
      if (this.n === FRAME) {
        const frame = this.spoken.slice().buffer;
        this.port.postMessage(frame, [frame]);
        this.n = 0;
      }
    }
    const out = outputs[0][0];
    if (this.plays) {
      out.set(this.heard.splice(0, out.length));
      if (!this.heard.length) this.plays = false;
    }
    for (const other of outputs[0].slice(1)) other.set(out);
    return true;
  }
}

registerProcessor("telephone", Telephone);
