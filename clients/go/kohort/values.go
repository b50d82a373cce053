// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"math"
	"strconv"
	"time"
)

// Decimal is a number with a fixed count of digits after the point, exactly.
type Decimal struct {
	// Unscaled is the number times 10^Scale.
	Unscaled int64
	// Scale counts the digits after the point, 0 to 12.
	Scale int
}

// String writes the number with exactly Scale digits after the point.
func (d Decimal) String() string {
	return string(appendDecimal(nil, d.Unscaled, d.Scale))
}

// Float64 is the nearest binary number; it may differ in digits beyond the 15th.
func (d Decimal) Float64() float64 {
	// Through the text: dividing would round twice.
	nearest, _ := strconv.ParseFloat(d.String(), 64)
	return nearest
}

// rescaled gives the unscaled number at another scale, if that is exact and fits.
func (d Decimal) rescaled(scale int) (int64, bool) {
	value := d.Unscaled
	for at := d.Scale; at < scale; at++ {
		if value > math.MaxInt64/10 || value < math.MinInt64/10 {
			return 0, false
		}
		value *= 10
	}
	for at := d.Scale; at > scale; at-- {
		if value%10 != 0 {
			return 0, false
		}
		value /= 10
	}
	return value, true
}

// Duration is a length of time in microseconds. It reaches further than
// time.Duration, which ends at 292 years.
type Duration struct {
	// Microseconds is the length; negative for backwards.
	Microseconds int64
}

// DurationOf cuts a time.Duration to whole microseconds.
func DurationOf(d time.Duration) Duration {
	return Duration{d.Microseconds()}
}

// Duration is the same as a time.Duration, and whether that can hold it.
func (d Duration) Duration() (time.Duration, bool) {
	const most = math.MaxInt64 / int64(time.Microsecond)
	if d.Microseconds > most || d.Microseconds < -most {
		return 0, false
	}
	return time.Duration(d.Microseconds) * time.Microsecond, true
}

// String writes ISO 8601 seconds, such as PT1.5S.
func (d Duration) String() string {
	return string(appendDuration(nil, d.Microseconds))
}

// appendDecimal writes value / 10^scale with exactly scale digits after the point.
func appendDecimal(to []byte, value int64, scale int) []byte {
	magnitude := uint64(value)
	if value < 0 {
		to, magnitude = append(to, '-'), -magnitude
	}
	var room [40]byte
	digits := strconv.AppendUint(room[:0], magnitude, 10)
	if scale <= 0 {
		return append(to, digits...)
	}
	if whole := len(digits) - scale; whole > 0 {
		to = append(append(to, digits[:whole]...), '.')
		return append(to, digits[whole:]...)
	}
	to = append(to, '0', '.')
	for missing := scale - len(digits); missing > 0; missing-- {
		to = append(to, '0')
	}
	return append(to, digits...)
}

func appendDuration(to []byte, micros int64) []byte {
	to = appendDecimal(append(to, 'P', 'T'), micros, 6)
	for to[len(to)-1] == '0' {
		to = to[:len(to)-1]
	}
	if to[len(to)-1] == '.' {
		to = to[:len(to)-1]
	}
	return append(to, 'S')
}

// appendDouble writes the shortest text that reads back exactly; the point is
// always there where there is no exponent, so that it does not look whole.
func appendDouble(to []byte, value float64) []byte {
	switch size := math.Abs(value); {
	case math.IsNaN(value):
		return append(to, "nan"...)
	case math.IsInf(value, 1):
		return append(to, "inf"...)
	case math.IsInf(value, -1):
		return append(to, "-inf"...)
	case size != 0 && (size < 1e-4 || size >= 1e16):
		return strconv.AppendFloat(to, value, 'e', -1, 64)
	}
	start := len(to)
	to = strconv.AppendFloat(to, value, 'f', -1, 64)
	for _, b := range to[start:] {
		if b == '.' {
			return to
		}
	}
	return append(to, '.', '0')
}

// appendDay writes an ISO 8601 day of any year.
func appendDay(to []byte, days int64) []byte {
	year, month, day := time.Unix(days*86400, 0).UTC().Date()
	if year < 0 { // four characters with the sign, as the server writes them
		to, year = append(to, '-'), -year
		to = appendPadded(to, year, 3)
	} else {
		to = appendPadded(to, year, 4)
	}
	to = appendPadded(append(to, '-'), int(month), 2)
	return appendPadded(append(to, '-'), day, 2)
}

// appendMoment writes an ISO 8601 date and time; whole seconds leave the fraction out.
func appendMoment(to []byte, micros int64, zone string) []byte {
	const daily = 86_400_000_000
	days, rest := micros/daily, micros%daily
	if rest < 0 {
		days, rest = days-1, rest+daily
	}
	to = appendDay(to, days)
	seconds := int(rest / 1_000_000)
	to = appendPadded(append(to, 'T'), seconds/3600, 2)
	to = appendPadded(append(to, ':'), seconds/60%60, 2)
	to = appendPadded(append(to, ':'), seconds%60, 2)
	if part := int(rest % 1_000_000); part != 0 {
		to = appendPadded(append(to, '.'), part, 6)
	}
	return append(to, zone...)
}

func appendPadded(to []byte, value, width int) []byte {
	var room [20]byte
	digits := strconv.AppendInt(room[:0], int64(value), 10)
	for missing := width - len(digits); missing > 0; missing-- {
		to = append(to, '0')
	}
	return append(to, digits...)
}
