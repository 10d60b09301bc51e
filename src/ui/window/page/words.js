// Times, sizes and counts in words. Times from the node are microseconds; the page shows them in the zone and habit of the browser.

const format = options => { const made = new Intl.DateTimeFormat(undefined, options); return date => made.format(date); };
const clock = format({ hour: '2-digit', minute: '2-digit' });
const weekday = format({ weekday: 'long' });
const weekdayShort = format({ weekday: 'short' });
const dayMonth = format({ day: 'numeric', month: 'short' });
const dayLong = format({ weekday: 'long', day: 'numeric', month: 'long' });
const dayYear = format({ day: 'numeric', month: 'long', year: 'numeric' });
const full = format({ dateStyle: 'full', timeStyle: 'medium' });

const date = micros => new Date(micros / 1000);
const midnight = when => new Date(when.getFullYear(), when.getMonth(), when.getDate()).getTime();
// Whole days from then to now; a day may have 23 or 25 hours.
const daysAgo = when => Math.round((midnight(new Date()) - midnight(when)) / 86400000);

export const time = micros => micros ? clock(date(micros)) : '';
export const exact = micros => micros ? full(date(micros)) : 'time not known';
export const sameDay = (one, other) => Boolean(one && other) && midnight(date(one)) === midnight(date(other));

export function day(micros) {
  if (!micros) return 'Time not known';
  const when = date(micros), ago = daysAgo(when);
  if (ago === 0) return 'Today';
  if (ago === 1) return 'Yesterday';
  if (ago > 1 && ago < 7) return weekday(when);
  return when.getFullYear() === new Date().getFullYear() ? dayLong(when) : dayYear(when);
}

// As short as a list wants it.
export function brief(micros) {
  if (!micros) return '';
  const when = date(micros), ago = daysAgo(when);
  if (ago <= 0) return clock(when);
  return ago === 1 ? 'Yesterday' : ago < 7 ? weekdayShort(when) : dayMonth(when);
}

// "20:12", or with its day.
export const since = micros => daysAgo(date(micros)) === 0 ? time(micros) : `${brief(micros)}, ${time(micros)}`;

export function size(bytes) {
  if (bytes === null || bytes === undefined) return 'size not known';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (bytes >= 1023.95 && unit < units.length - 1) bytes /= 1024, unit++;
  return `${unit === 0 ? bytes : bytes.toFixed(bytes < 100 ? 1 : 0)} ${units[unit]}`;
}

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return plural(Math.floor(s / 86400), 'day');
}

// How long until a time that is still to come, or null.
export const ahead = micros => micros > Date.now() * 1000 ? span(micros / 1e6 - Date.now() / 1000) : null;

export const plural = (count, word) => `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;
// Errors and hints come in small letters and without a full stop.
export const sentence = text => text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
// The folder that a path is in.
export const folder = path => path.replace(/[/\\][^/\\]*$/, '') || '/';
// The name at the end of a path; a directory keeps its slash.
export const leaf = path => path.match(/[^/\\]*[/\\]?$/)[0] || path;
