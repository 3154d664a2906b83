package option

import "testing"

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Bytes
		ok   bool
	}{
		{"0B", 0, true},
		{"512MiB", 512 << 20, true},
		{"1 GiB", 1 << 30, true},
		{"3kB", 3000, true},
		{"512", 0, false},
		{"1.5GiB", 0, false},
		{"-1B", 0, false},
		{"9999999TiB", 0, false},
		{"MiB", 0, false},
		{"1mib", 0, false},
	} {
		var b Bytes
		if err := b.UnmarshalText([]byte(c.in)); (err == nil) != c.ok || b != c.want {
			t.Errorf("%q: found %d, %v", c.in, b, err)
		}
	}
	for _, c := range []struct{ in, out string }{
		{"200ms", "200ms"},
		{"24h", "24h"},
		{"90s", "1m30s"},
		{"10m", "10m"},
		{"0s", "0s"},
		{"5", ""},
		{"-1s", ""},
		{"1d", ""},
	} {
		d, err := ParseDuration(c.in)
		if (err == nil) != (c.out != "") || err == nil && FormatDuration(d) != c.out {
			t.Errorf("%q: found %v, %v", c.in, d, err)
		}
	}
	for _, c := range []struct{ in, out string }{
		{"16", "16"},
		{"16x24x32", "16x24x32"},
		{"8x8x8", "8"},
		{"0", ""},
		{"16x16", ""},
		{"a", ""},
		{"5000", ""},
	} {
		var d Dims
		if err := d.UnmarshalText([]byte(c.in)); (err == nil) != (c.out != "") || err == nil && d.String() != c.out {
			t.Errorf("%q: found %v, %v", c.in, d, err)
		}
	}
}

func TestScaled(t *testing.T) {
	for n, want := range map[Bytes]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 11950325: "11.4 MiB", 3 << 29: "1.5 GiB", 1 << 42: "4.0 TiB",
	} {
		if got := n.Scaled(); got != want {
			t.Errorf("found %s, want %s", got, want)
		}
	}
}
