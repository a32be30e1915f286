// An agent's page: signs in, shows who is handed over and why before it rings, and carries the voices.
import { Line } from "/pages/line.js";

const at = (id) => document.getElementById(id);
let call = "";
let line;

function enable(...names) {
  for (const name of ["accept", "decline", "finish", "wrapped_up"]) at(name).disabled = !names.includes(name);
}

// Put the four blocks on the screen; only then may the page say that they are shown.
function show(context) {
  const { reason, urgency } = context.handover_context;
  at("reason").textContent = `${reason} (${urgency})`;
  at("slots").replaceChildren(
    ...Object.entries(context.user_profile.slots).flatMap(([name, value]) => [tag("dt", name), tag("dd", value)]),
  );
  at("turns").replaceChildren(
    ...context.dialog_history.map((turn) => tag("li", `${turn.speaker}: ${turn.words}`)),
  );
  at("context").hidden = false;
}

function tag(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

const hears = {
  welcome: () => {
    at("trouble").textContent = "";
  },
  state: (message) => {
    at("state").textContent = message.state;
    if (message.state === "ready" || message.state === "not_ready") line.hello.ready = message.state === "ready";
    enable(...(message.state === "wrapup" ? ["wrapped_up"] : []));
    if (message.state === "talking") enable("finish");
  },
  probe: (message) => line.say("probed", { call: message.call }),
  context: (message) => {
    call = message.call;
    show(message.context);
    line.say("shown", { call });
  },
  offer: (message) => {
    call = message.call;
    enable("accept", "decline");
  },
  bridged: () => enable("finish"),
  released: released,
};

function released() {
  call = "";
  at("context").hidden = true;
}

// The desk has gone, and the robot has the caller again: come back to the same seat, as ready as before.
function closed(reason, mayComeBack) {
  released();
  enable();
  if (mayComeBack) {
    at("trouble").textContent = `No connection: ${reason}. Trying again.`;
    at("state").textContent = "coming back";
    line.again();
    return;
  }
  at("trouble").textContent = `Signed out: ${reason}`;
  at("seat").hidden = true;
  at("signin").hidden = false;
}

at("signin").onsubmit = async (event) => {
  event.preventDefault();
  const skills = at("skills").value.split(",").map((one) => one.trim()).filter(Boolean);
  line = new Line({ agent: at("agent").value, skills, ready: true }, hears, closed);
  try {
    await line.open();
    at("signin").hidden = true;
    at("seat").hidden = false;
    at("trouble").textContent = "";
  } catch (error) {
    at("trouble").textContent = `No microphone: ${error.message}`;
  }
};

for (const name of ["ready", "not_ready", "wrapped_up"]) at(name).onclick = () => line.say(name);
for (const name of ["accept", "decline", "finish"]) at(name).onclick = () => line.say(name, { call });

// Whoever has the node's token in their address names the seat; whoever has a session has their own.
async function meet() {
  if (location.hash) return;
  const answer = await fetch("/api/session");
  if (!answer.ok) {
    location.replace("/signin?next=/agent");
    return;
  }
  const { name } = await answer.json();
  at("agent").value = at("who").textContent = name;
  at("agent").readOnly = true;
  at("self").hidden = false;
}

at("signout").onclick = async () => {
  await fetch("/api/session", { method: "DELETE" });
  location.assign("/signin");
};

meet();
