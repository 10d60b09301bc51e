// What the page asks the program. Each answer is lines of flat objects; an error has words for people and a hint.

import { sentence } from './words.js';

const TOKEN = 'egoat.token';
let token = sessionStorage.getItem(TOKEN);
let isOver = () => {};

export class Failed extends Error {
  constructor(http, { error, hint, status } = {}) {
    super(error ? sentence(error) : 'egoat does not answer. This page tries again by itself.');
    Object.assign(this, { http, hint: hint && sentence(hint), status });
  }
}

// `then` is called once the session has ended for good.
export const onOver = then => { isOver = then; };

// `fields` is an object, or a list of pairs where an order matters.
const form = fields => new URLSearchParams(Array.isArray(fields) ? fields
  : Object.entries(fields ?? {}).filter(([, value]) => value !== undefined && value !== null));

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: 'no-store', headers: token ? { Authorization: `Bearer ${token}` } : {} });
  } catch {
    throw new Failed(0);
  }
  if (answer.ok) return answer;
  const line = await answer.text().catch(() => '');
  let said;
  try { said = JSON.parse(line); } catch { /* Not from the program, or cut off. */ }
  if (answer.status === 401 && path !== '/api/session') over();
  throw new Failed(answer.status, said);
}

function over() {
  const dead = token;
  sessionStorage.removeItem(TOKEN);
  token = null;
  isOver();
  // A page that has a session, now or later, shares it: then this one goes on where it was.
  tabs.addEventListener('message', ({ data }) => { if (data?.token && data.token !== dead) keep(data.token), location.reload(); });
  tabs.postMessage('token?');
}

const lines = text => text.split('\n').filter(Boolean).map(line => JSON.parse(line));
const all = async answer => {
  try { return lines(await answer.text()); } catch { throw new Failed(0); }
};

export const get = async (path, fields) => all(await ask(`/api/${path}?${form(fields)}`));
export const post = async (path, fields) => (await all(await ask(`/api/${path}`, { method: 'POST', body: form(fields) })))[0];

// Gets a session: by the code in the address, from before a reload, or from another tab, so that a bookmark opens while one
// is open. The code leaves the address: it must not stay in the history. Returns the link to join with, if the
// address has one, and whether there is a session.
export async function enter() {
  const asked = new URLSearchParams(location.hash.slice(1)), code = asked.get('code'), peer = asked.get('peer'), join = asked.get('join');
  if (code) {
    const answer = await ask('/api/session', { method: 'POST', body: form({ code }) }).then(all).catch(error => ({ error }));
    // Without an answer the code may still be good.
    if (answer.error?.http === 0) throw answer.error;
    history.replaceState(null, '', peer ? `#/${peer}` : location.pathname);
    if (!answer.error) keep(answer[0].token);
    else if (!token) throw answer.error;
  }
  share();
  if (!token) keep(await borrowed());
  else if (code) tabs.postMessage({ token });
  return { isIn: Boolean(token), join };
}

function keep(new_) {
  if (!new_) return;
  token = new_;
  sessionStorage.setItem(TOKEN, token);
}

const tabs = new BroadcastChannel('egoat');
function share() {
  tabs.addEventListener('message', ({ data }) => { if (data === 'token?' && token) tabs.postMessage({ token }); });
}
const borrowed = () => new Promise(done => {
  const hear = ({ data }) => { if (data?.token) done(data.token); };
  tabs.addEventListener('message', hear);
  tabs.postMessage('token?');
  setTimeout(() => { tabs.removeEventListener('message', hear); done(null); }, 300);
});

const SILENCE = 40000;

// Tells each object of the stream to `hear`, from behind number `after` if that is known. Ends with an error.
export async function events(after, hear) {
  const stop = new AbortController();
  let timer;
  const alive = () => { clearTimeout(timer); timer = setTimeout(() => stop.abort(), SILENCE); };
  alive();
  try {
    const answer = await ask(`/api/events?${form({ after })}`, { signal: stop.signal });
    hear([]);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ;) {
      const { value, done } = await reader.read();
      if (done) break;
      alive();
      const parts = (rest + value).split('\n');
      rest = parts.pop();
      hear(parts.filter(line => line && line[0] !== ':').map(line => JSON.parse(line)));
    }
  } catch (error) {
    throw error instanceof Failed ? error : new Failed(0);
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
  throw new Failed(0);
}

// Puts a file up; `tell` hears how many bytes are on their way. fetch tells no progress, so this is the older interface.
export const upload = (id, number, file, tell, signal) => new Promise((done, fail) => {
  const request = new XMLHttpRequest();
  request.open('PUT', `/api/upload?${form({ id, number })}`);
  request.setRequestHeader('Authorization', `Bearer ${token}`);
  request.upload.onprogress = event => tell(event.loaded);
  request.onerror = () => fail(new Failed(0));
  request.onabort = () => fail(new DOMException('stopped', 'AbortError'));
  request.onload = () => {
    let said;
    try { said = lines(request.responseText)[0]; } catch { /* Cut off. */ }
    if (request.status === 200 && said?.event === 'stored') return done(said);
    if (request.status === 401) over();
    fail(new Failed(request.status, said));
  };
  signal.addEventListener('abort', () => request.abort());
  request.send(file);
});
