/** Dates as C has them, in UTC, whatever the host's own time zone is. */
import fc from 'fast-check';
import { calendarOf, secondsOf, strftime, type Calendar } from './calendar.js';

const at = (iso: string): Calendar => calendarOf(Date.parse(iso) / 1000) as Calendar;

it('A14 a date’s parts lead back to its seconds, within their ranges or beyond', () => {
  fc.assert(
    fc.property(fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }), (seconds) => {
      const date = calendarOf(seconds) as Calendar;
      expect(secondsOf(date)).toBe(seconds);
      expect(secondsOf({ ...date, month: date.month + 12, year: date.year - 1 })).toBe(seconds);
      expect(secondsOf({ ...date, second: date.second + 3600, hour: date.hour - 1 })).toBe(seconds);
      const iso = new Date(seconds * 1000).toISOString();
      expect(secondsOf(at(iso))).toBe(seconds);
      if (seconds > -30_000_000_000) expect(strftime('%Y-%m-%dT%H:%M:%S.000Z', date)).toBe(iso);
    }),
  );
  expect(calendarOf(1e15)).toBeNull();
  expect(secondsOf({ ...at('2024-01-01T00:00:00Z'), year: 1e9 })).toBeNull();
});

it('A14 strftime writes as C does', () => {
  const date = at('2024-12-30T13:05:09Z'); // a Monday, in the first week of 2025 by ISO 8601
  expect(strftime('%a %A %b %B %c|%C %d %D %e %F %g %G %h', date)).toBe(
    'Mon Monday Dec December Mon Dec 30 13:05:09 2024|20 30 12/30/24 30 2024-12-30 25 2025 Dec',
  );
  expect(strftime('%H %I %j %m %M %p %r %R %S %T %u %U %V %w %W %x %X %y %Y %z %Z %%', date)).toBe(
    '13 01 365 12 05 PM 01:05:09 PM 13:05 09 13:05:09 1 52 01 1 53 12/30/24 13:05:09 24 2024 +0000 UTC %',
  );
  expect(strftime('%n%t%s%Ey%Od%q%', at('1970-01-01T00:00:07Z'))).toBe('\n\t77001%q%');
  expect(strftime('%I%p', at('2024-01-01T00:00:00Z'))).toBe('12AM');
  expect(
    ['2005-01-01', '2006-01-01', '2009-12-31', '2010-01-04'].map((d) => strftime('%G-%V', at(`${d}T00:00:00Z`))),
  ).toEqual(['2004-53', '2005-52', '2009-53', '2010-01']);
});
