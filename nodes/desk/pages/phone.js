// One button: "Call me", "Answer", "Hang up".
import { Line } from "/pages/line.js";

const button = document.getElementById("button");
const state = document.getElementById("state");
let call = "";
let press = open;

function show(label, text, then) {
  button.textContent = label;
  state.textContent = text;
  press = then;
}

const idle = (text) => show("Call me", text, ask);

const line = new Line(
  {},
  {
    welcome: ask,
    offer: (message) => {
      call = message.call;
      show("Answer", "It rings.", () => line.say("accept", { call }));
    },
    bridged: () => show("Hang up", "You are talking with the robot.", () => line.say("finish", { call })),
    released: () => idle("The call is over."),
    refused: (message) => idle(`Not possible: ${message.reason}`),
  },
  (reason) => show("Call me", `No connection: ${reason}`, open),
);

function ask() {
  const wanted = new URLSearchParams(location.search);
  const slots = { name: wanted.get("name") ?? "there", company: wanted.get("company") ?? "Ringmaster" };
  show("...", "The robot dials.", () => {});
  line.say("call_me", { script: wanted.get("script") ?? "hello", slots });
}

function open() {
  show("...", "Connecting.", () => {});
  (line.audio ? Promise.resolve(line.connect()) : line.open()).catch((error) =>
    show("Call me", `No microphone: ${error.message}`, open),
  );
}

button.onclick = () => press();
