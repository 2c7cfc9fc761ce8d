/** Dates as C has them, in the one place and language there is here: UTC, and the C locale. No host's own time zone or words come in. */

/** C's `struct tm`. */
export interface Calendar {
  second: number;
  minute: number;
  hour: number;
  /** Of the month, from 1. */
  day: number;
  /** From 0. */
  month: number;
  /** Since 1900. */
  year: number;
  /** From Sunday, 0. */
  weekday: number;
  /** Of the year, from 0. */
  yearday: number;
}

const DAY_MS = 86_400_000;
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** @param seconds since 1970; null when no date is so far away */
export function calendarOf(seconds: number): Calendar | null {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return null;
  const yearday = Math.floor((date.getTime() - beginning(date.getUTCFullYear())) / DAY_MS);
  return {
    second: date.getUTCSeconds(),
    minute: date.getUTCMinutes(),
    hour: date.getUTCHours(),
    day: date.getUTCDate(),
    month: date.getUTCMonth(),
    year: date.getUTCFullYear() - 1900,
    weekday: date.getUTCDay(),
    yearday,
  };
}

/** Seconds since 1970 of a date whose parts may be beyond their ranges; null when no date is so far away. */
export function secondsOf({ year, month, day, hour, minute, second }: Calendar): number | null {
  const date = new Date(0);
  date.setUTCFullYear(year + 1900, month, day);
  date.setUTCHours(hour, minute, second);
  return Number.isNaN(date.getTime()) ? null : date.getTime() / 1000;
}

/** What C's strftime writes. */
export function strftime(format: string, date: Calendar): string {
  return format.replace(/%[EO]?(.)/gsu, (whole, conversion: string) => CONVERSIONS[conversion]?.(date) ?? whole);
}

const two = (value: number, fill = '0') => String(value).padStart(2, fill);
const twelve = (hour: number) => hour % 12 || 12;
/** Week of the year whose first one begins with its first `first` day of the week. */
const week = ({ yearday, weekday }: Calendar, first: number) =>
  two(Math.floor((yearday + 7 - ((weekday + 7 - first) % 7)) / 7));

const CONVERSIONS: Readonly<Record<string, (date: Calendar) => string>> = {
  a: (d) => (DAYS[d.weekday] ?? '?').slice(0, 3),
  A: (d) => DAYS[d.weekday] ?? '?',
  b: (d) => (MONTHS[d.month] ?? '?').slice(0, 3),
  B: (d) => MONTHS[d.month] ?? '?',
  c: (d) => strftime('%a %b %e %H:%M:%S %Y', d),
  C: (d) => two(Math.floor((d.year + 1900) / 100)),
  d: (d) => two(d.day),
  D: (d) => strftime('%m/%d/%y', d),
  e: (d) => two(d.day, ' '),
  F: (d) => strftime('%Y-%m-%d', d),
  g: (d) => two(isoWeek(d).year % 100),
  G: (d) => String(isoWeek(d).year),
  h: (d) => (MONTHS[d.month] ?? '?').slice(0, 3),
  H: (d) => two(d.hour),
  I: (d) => two(twelve(d.hour)),
  j: (d) => String(d.yearday + 1).padStart(3, '0'),
  m: (d) => two(d.month + 1),
  M: (d) => two(d.minute),
  n: () => '\n',
  p: (d) => (d.hour < 12 ? 'AM' : 'PM'),
  r: (d) => strftime('%I:%M:%S %p', d),
  R: (d) => strftime('%H:%M', d),
  s: (d) => String(secondsOf(d) ?? 0),
  S: (d) => two(d.second),
  t: () => '\t',
  T: (d) => strftime('%H:%M:%S', d),
  u: (d) => String(d.weekday || 7),
  U: (d) => week(d, 0),
  V: (d) => two(isoWeek(d).week),
  w: (d) => String(d.weekday),
  W: (d) => week(d, 1),
  x: (d) => strftime('%m/%d/%y', d),
  X: (d) => strftime('%H:%M:%S', d),
  y: (d) => two((((d.year + 1900) % 100) + 100) % 100),
  Y: (d) => String(d.year + 1900),
  z: () => '+0000',
  Z: () => 'UTC',
  '%': () => '%',
};

function beginning(year: number): number {
  const date = new Date(0);
  return date.setUTCFullYear(year, 0, 1);
}

/** ISO 8601: a week belongs to the year its Thursday is in. */
function isoWeek({ year, yearday, weekday }: Calendar): { year: number; week: number } {
  const thursday = new Date(beginning(year + 1900) + (yearday - ((weekday + 6) % 7) + 3) * DAY_MS);
  const own = thursday.getUTCFullYear();
  return { year: own, week: Math.floor((thursday.getTime() - beginning(own)) / DAY_MS / 7) + 1 };
}
