// One WebSocket to the desk, a microphone and a loudspeaker. What is said on it stands in nodes/desk/control.py.
// Audio is 20 ms of G.711 mu-law at 8 kHz, both ways; the worklet codes it and steadies what comes in.

const BEAT_MS = 10000;
const UNANSWERED = 2; // so many beats without an answer, and the desk is gone though no network has said so
const FIRST_MS = 500;
const LONGEST_MS = 10000;
const STAY_AWAY = 4400; // from this close code on, coming back by itself would not help
const SIGN_IN = 4401; // nobody is signed in here any more

export class Line {
  // `hears`: name of a message -> what to do with it; `closed(reason, mayComeBack)`: the desk is gone. Whoever is not
  // signed in any more is shown the way there, and back.
  constructor(hello, hears, closed) {
    this.hello = hello;
    this.hears = hears;
    this.closed = closed;
    this.tries = 0;
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
    clearTimeout(this.later);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.say("hello", { token: location.hash.slice(1), ...this.hello });
    socket.onmessage = (event) => this.#heard(event.data);
    socket.onclose = (event) => this.#ended(event.reason || "the desk is gone", event.code);
    this.socket = socket;
    this.unanswered = 0;
    this.beat = setInterval(() => this.#beat(), BEAT_MS);
  }

  // Connect again after a pause, which grows with each try in vain. A third of it is chance: after a restart of the
  // desk not all pages come in the same moment.
  again() {
    const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.tries++);
    this.later = setTimeout(() => this.connect(), wait * (2 / 3 + Math.random() / 3));
  }

  say(type, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...fields }));
  }

  #send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  #heard(data) {
    this.unanswered = 0;
    if (data instanceof ArrayBuffer) {
      this.node.port.postMessage(data, [data]);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "welcome") this.tries = 0;
    this.hears[message.type]?.(message);
  }

  #beat() {
    if (this.unanswered++ < UNANSWERED) {
      this.say("beat");
      return;
    }
    this.socket.onclose = null; // a dead network would tell us in minutes
    this.socket.close();
    this.#ended("the desk does not answer", 0);
  }

  #ended(reason, code) {
    clearInterval(this.beat);
    if (code === SIGN_IN && !location.hash) location.assign(`/signin?next=${location.pathname}`);
    this.closed(reason, code < STAY_AWAY);
  }
}
