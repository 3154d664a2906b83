// Package textnum reads numbers from text many times faster than splitting strings does, and to the same bits as
// strconv.
package textnum

import (
	"math"
	"strconv"
	"strings"
)

// pow10 are the powers of ten that float64 holds exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22,
}

// maxToken bounds the text of one number.
const maxToken = 400

// Float reads the number at b[i:] after blanks and gives the index behind it; ok is false where there is none on
// this line. It ends at a blank, a line end, or delim (0 for none).
func Float(b []byte, i int, delim byte) (v float64, next int, ok bool) {
	i = Blanks(b, i)
	start := i
	neg := false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		neg = b[i] == '-'
		i++
	}
	var mant uint64
	digits, exp := 0, 0
	first := i
	for i < len(b) {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		mant = mant*10 + uint64(d)
		i++
	}
	digits = i - first
	if i < len(b) && b[i] == '.' {
		i++
		frac := i
		for i < len(b) {
			d := b[i] - '0'
			if d > 9 {
				break
			}
			mant = mant*10 + uint64(d)
			i++
		}
		exp = frac - i
		digits += i - frac
	}
	if digits == 0 || digits > 18 {
		return slow(b, start, delim)
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		j := i + 1
		eneg := false
		if j < len(b) && (b[j] == '-' || b[j] == '+') {
			eneg = b[j] == '-'
			j++
		}
		e, n := 0, 0
		for j < len(b) && b[j]-'0' <= 9 && n < 5 {
			e = e*10 + int(b[j]-'0')
			j++
			n++
		}
		if n == 0 {
			return slow(b, start, delim)
		}
		if eneg {
			e = -e
		}
		exp += e
		i = j
	}
	if i < len(b) && !ends(b[i], delim) {
		return slow(b, start, delim)
	}
	// Clinger's fast path: mantissa and power of ten are both exact, so one operation rounds once.
	if mant >= 1<<53 || exp < -22 || exp > 22 {
		return slow(b, start, delim)
	}
	v = float64(mant)
	if exp < 0 {
		v /= pow10[-exp]
	} else {
		v *= pow10[exp]
	}
	if neg {
		v = -v
	}
	return v, i, true
}

// slow reads what Float leaves to it: long mantissas, large exponents, hexadecimal and Fortran notation, and the words
// for NaN and infinity.
func slow(b []byte, start int, delim byte) (float64, int, bool) {
	end := start
	for end < len(b) && !ends(b[end], delim) && end-start <= maxToken {
		end++
	}
	if end == start || end-start > maxToken {
		return 0, start, false
	}
	v, ok := parse(string(b[start:end]))
	if !ok {
		return 0, start, false
	}
	return v, end, true
}

func parse(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil || math.IsInf(v, 0) {
		return v, true
	}
	if v, ok := word(s); ok {
		return v, true
	}
	if t, ok := fortran(s); ok {
		v, err = strconv.ParseFloat(t, 64)
		return v, err == nil || math.IsInf(v, 0)
	}
	return 0, false
}

// word reads what printf and spreadsheets write in the place of a number: nan and inf of the C library, with a sign or
// a payload ("-nan", "nan(ind)"), "1.#INF", "-1.#IND", "1.#QNAN" and their rounded forms of Microsoft's, asterisks
// where a Fortran field was too narrow, and the words for a missing value.
func word(s string) (float64, bool) {
	t := strings.ToLower(strings.TrimLeft(s, "+-"))
	if len(s)-len(t) > 1 {
		return 0, false
	}
	switch {
	case strings.HasPrefix(t, "1.#inf"):
		if s[0] == '-' {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	case t == "nan", t == "1.#j", t == "1.#r", strings.HasPrefix(t, "nan(") && t[len(t)-1] == ')',
		strings.HasPrefix(t, "1.#ind"), strings.HasPrefix(t, "1.#qnan"), strings.HasPrefix(t, "1.#snan"),
		strings.Trim(s, "*") == "":
		return math.NaN(), true
	}
	switch strings.Trim(t, "#") {
	case "na", "n/a", "null", "none":
		return math.NaN(), len(t) == len(s)
	}
	return 0, false
}

// fortran turns 1.5D+03 and 1.5+103 (an exponent of three digits has no letter) into the notation of C.
func fortran(s string) (string, bool) {
	at := strings.IndexAny(s, "dD")
	if at >= 0 {
		return s[:at] + "e" + s[at+1:], at > 0 && s[at-1] != 'x' && s[at-1] != 'X'
	}
	if at = strings.LastIndexAny(s, "+-"); at > 1 && len(s) == at+4 && strings.IndexByte(s[:at], '.') >= 0 {
		return s[:at] + "e" + s[at:], true
	}
	return "", false
}

func ends(c, delim byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == delim && delim != 0
}

// Blanks is the index of the first byte at or behind i that is no space or other control character than a line feed.
func Blanks(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && b[i] != '\n' {
		i++
	}
	return i
}

// Line is the index behind the end of the line at i.
func Line(b []byte, i int) int {
	for i < len(b) {
		i++
		if b[i-1] == '\n' {
			break
		}
	}
	return i
}

// Token is the text of the field at i, for messages.
func Token(b []byte, i int) string {
	end := i
	for end < len(b) && b[end] > ' ' && end-i < 40 {
		end++
	}
	return string(b[i:end])
}
