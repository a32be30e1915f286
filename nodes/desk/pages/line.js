// One WebSocket to the desk, a microphone and a loudspeaker. What is said on it stands in nodes/desk/control.py.
// Audio is 20 ms of G.711 mu-law at 8 kHz, both ways; the worklet codes it and steadies what comes in.

export class Line {
  // `hears`: name of a message -> what to do with it; `closed(reason, mayComeBack)`: the desk is gone.
  constructor(hello, hears, closed) {
    this.hello = hello;
    this.hears = hears;
    this.closed = closed;
  }

  // Ask for the microphone and connect; to be called from a click, or the browser keeps the loudspeaker silent.
  async open() {
    const microphone = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    this.audio = new AudioContext({ sampleRate: 8000, latencyHint: "interactive" });
    await this.audio.audioWorklet.addModule("/pages/worklet.js");
    this.node = new AudioWorkletNode(this.audio, "telephone");
    this.audio.createMediaStreamSource(microphone).connect(this.node);
    this.node.connect(this.audio.destination);
    this.node.port.onmessage = (event) => this.#send(event.data);
    await this.audio.resume();
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/socket`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.say("hello", { token: location.hash.slice(1), ...this.hello });
    this.socket.onmessage = (event) => this.#heard(event.data);
    this.socket.onclose = (event) => this.#ended(event.reason || "the desk is gone", event.code < 4400);
    this.beat = setInterval(() => this.say("beat"), 10000);
  }

  say(type, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...fields }));
  }

  #send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  #heard(data) {
    if (data instanceof ArrayBuffer) {
      this.node.port.postMessage(data, [data]);
      return;
    }
    const message = JSON.parse(data);
    this.hears[message.type]?.(message);
  }

  #ended(reason, mayComeBack) {
    clearInterval(this.beat);
    this.closed(reason, mayComeBack);
  }
}
