package request

import (
	"net/netip"
	"strings"
	"testing"
)

func TestClientAddress(t *testing.T) {
	for _, v := range []struct {
		xff  string // lines, separated by "|"
		peer string
		hops int
		want string
	}{
		{"203.0.113.9", "10.0.0.1", 0, ""},
		{"203.0.113.9, 10.0.0.1", "10.0.0.1", 1, "203.0.113.9"},
		{"203.0.113.9", "10.0.0.1", 1, "203.0.113.9"}, // Envoy did not append its peer
		{"198.51.100.1, 203.0.113.9, 10.0.0.1", "10.0.0.1", 1, "203.0.113.9"},
		{"198.51.100.1, 203.0.113.9, 10.0.0.1", "10.0.0.1", 2, "198.51.100.1"},
		{"198.51.100.1|203.0.113.9|10.0.0.1", "10.0.0.1", 1, "203.0.113.9"}, // line by line
		{"198.51.100.1,203.0.113.9|10.0.0.1", "10.0.0.1", 2, "198.51.100.1"},
		{"10.0.0.1", "10.0.0.1", 1, ""}, // shorter than the operator said
		{"203.0.113.9, 10.0.0.1", "10.0.0.1", 3, ""},
		{"", "10.0.0.1", 1, ""},

		// As Azure writes them.
		{"203.0.113.9:51234, 10.0.0.1", "10.0.0.1", 1, "203.0.113.9"},
		{"203.0.113.9:51234, 10.0.0.1:443", "10.0.0.1", 1, "203.0.113.9"},
		{"[2001:db8::1]:51234, 10.0.0.1", "10.0.0.1", 1, "2001:db8::1"},
		{"[2001:db8::1], 10.0.0.1", "10.0.0.1", 1, "2001:db8::1"},
		{"2001:DB8::1, 10.0.0.1", "10.0.0.1", 1, "2001:db8::1"},
		{"2001:db8:0:0:0:0:0:1:51234, 10.0.0.1", "10.0.0.1", 1, ""},
		{"2001:db8::1:51234, 10.0.0.1", "10.0.0.1", 1, ""},

		// One peer in two spellings is one peer.
		{"203.0.113.9, 2001:db8:0::2", "2001:db8::2", 1, "203.0.113.9"},
		{"203.0.113.9, ::ffff:10.0.0.1", "10.0.0.1", 1, "203.0.113.9"},
		{"203.0.113.9, 10.0.0.1", "::ffff:10.0.0.1", 1, "203.0.113.9"},
		{"::ffff:203.0.113.9, 10.0.0.1", "10.0.0.1", 1, "203.0.113.9"},

		// Behind a proxy on the same machine: Envoy appends an address of the machine.
		{"203.0.113.9, 192.0.2.2", "127.0.0.1", 1, ""},
		{"203.0.113.9", "127.0.0.1", 1, ""},
		{"203.0.113.9, ::1", "::1", 1, ""},
		{"203.0.113.9, 127.0.0.1", "127.0.0.2", 1, ""},
		{"203.0.113.9, 10.0.0.1", "", 1, ""},
		{"203.0.113.9, x", "/run/envoy.sock", 1, ""},

		// Garbage.
		{"unknown, 10.0.0.1", "10.0.0.1", 1, ""},
		{"_hidden, 10.0.0.1", "10.0.0.1", 1, ""},
		{`"203.0.113.9", 10.0.0.1`, "10.0.0.1", 1, ""},
		{"fe80::1%eth0, 10.0.0.1", "10.0.0.1", 1, ""},
		{"203.0.113.009, 10.0.0.1", "10.0.0.1", 1, ""},
		{"203.0.113.9:, 10.0.0.1", "10.0.0.1", 1, ""},
		{"203.0.113.9:99999, 10.0.0.1", "10.0.0.1", 1, ""},
		{"203.0.113.9:+1, 10.0.0.1", "10.0.0.1", 1, ""},
		{"[203.0.113.9]:1, 10.0.0.1", "10.0.0.1", 1, ""},
		{"[2001:db8::1, 10.0.0.1", "10.0.0.1", 1, ""},
		{"[2001:db8::1]x, 10.0.0.1", "10.0.0.1", 1, ""},
		{"203.0.113.9 198.51.100.1, 10.0.0.1", "10.0.0.1", 1, ""},
		{"203.0.113.9,, 10.0.0.1", "10.0.0.1", 1, ""}, // an empty entry is one
		{"203.0.113.9\x00, 10.0.0.1", "10.0.0.1", 1, ""},
	} {
		r := Request{Headers: Headers{"x-forwarded-for": strings.Split(v.xff, "|")}, Source: Source{Address: v.peer}}
		r.client(v.hops)
		if r.ClientAddress != v.want {
			t.Errorf("%q from %s, %d: %q; want %q", v.xff, v.peer, v.hops, r.ClientAddress, v.want)
		}
		if doubted := len(r.Doubts) == 1; doubted != (v.hops > 0 && v.want == "") {
			t.Errorf("%q from %s, %d: doubts %q", v.xff, v.peer, v.hops, r.Doubts)
		}
	}
}

// Whatever a client writes, we read the entry that the trusted proxy wrote.
func FuzzClientAddress(f *testing.F) {
	f.Add("198.51.100.1", "203.0.113.9:1")
	f.Add("[::1", "10.0.0.1")
	f.Add(",,,", "[2001:db8::1]")
	f.Fuzz(func(t *testing.T, sent, wrote string) {
		if strings.ContainsAny(wrote, ",") {
			return
		}
		for _, lines := range [][]string{{sent + "," + wrote + ", 10.0.0.1"}, {sent, wrote, "10.0.0.1"},
			{wrote + ",10.0.0.1"}} {
			got, doubt := clientAddress(lines, "10.0.0.1", 1)
			if want, _ := clientAddress([]string{wrote + ",10.0.0.1"}, "10.0.0.1", 1); got != want {
				t.Fatalf("%q is read as %q; want %q", lines, got, want)
			}
			if addr, err := netip.ParseAddr(got); (got == "") != (doubt != "") || got != "" &&
				(err != nil || addr.Zone() != "" || addr.Is4In6()) {
				t.Fatalf("%q is read as %q, %q", lines, got, doubt)
			}
		}
	})
}
