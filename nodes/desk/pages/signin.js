// Signing in and out. The session is in a cookie that no script sees; the desk says who it is.

const at = (id) => document.getElementById(id);
const SEATED = ["agent", "lead", "admin"];
const READING = ["viewer", "machine", "lead", "admin"];
const PLACES = {
  "/agent": ["Take calls", SEATED],
  "/phone": ["Have the robot call this browser", ["lead", "admin"]],
  "/api/calls": ["Calls", READING],
  "/api/campaigns": ["Campaigns", READING],
  "/api/agents": ["Agents", READING],
  "/metrics": ["Figures", READING],
};
const next = new URLSearchParams(location.search).get("next");

function show(self) {
  at("signin").hidden = Boolean(self);
  at("inside").hidden = !self;
  at("trouble").textContent = "";
  if (!self) {
    at("name").focus();
    return;
  }
  const mine = Object.entries(PLACES).filter(([, [, roles]]) => roles.includes(self.role));
  if (mine.some(([path]) => path === next)) location.replace(next);
  at("self").textContent = `${self.name} (${self.role})`;
  at("places").replaceChildren(...mine.map(([path, [title]]) => place(path, title)));
}

function place(path, title) {
  const link = document.createElement("a");
  link.href = path;
  link.textContent = title;
  const item = document.createElement("li");
  item.append(link);
  return item;
}

async function trouble(answer) {
  if (answer.status === 401) return "Name or password is wrong.";
  const wait = answer.headers.get("Retry-After");
  if (wait) return `Too many tries. Try again in ${wait} s.`;
  return `Not possible: ${(await answer.json()).error}`;
}

async function ask(method, body) {
  at("signin_button").disabled = true;
  try {
    const headers = body ? { "Content-Type": "application/json" } : {};
    return await fetch("/api/session", { method, headers, body: body && JSON.stringify(body) });
  } finally {
    at("signin_button").disabled = false;
  }
}

const unreachable = () => {
  at("trouble").textContent = "The desk does not answer. Try again in a moment.";
};

at("signin").onsubmit = async (event) => {
  event.preventDefault();
  try {
    const answer = await ask("POST", { name: at("name").value, password: at("password").value });
    at("password").value = "";
    if (answer.ok) show(await answer.json());
    else {
      at("trouble").textContent = await trouble(answer);
      at("password").focus();
    }
  } catch {
    unreachable();
  }
};

at("signout_button").onclick = () => ask("DELETE").then(() => show(null), unreachable);

ask("GET").then(async (answer) => show(answer.ok ? await answer.json() : null), () => {
  show(null);
  unreachable();
});
