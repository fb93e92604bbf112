package request

import (
	"net/netip"
	"strconv"
	"strings"
)

// host returns h in normal form: lower case, without trailing dot and without the port that
// scheme implies. It refuses anything but a name, an IPv4 or a bracketed IPv6 address (RFC
// 9110 §7.2), such as userinfo, lists, zones and leading zeros: a host that two readers
// understand differently moves a request between virtual hosts.
func host(h, scheme string) (string, error) {
	if h == "" {
		return "", ambiguous("the request names no host")
	}
	name, port, err := splitPort(h)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(name, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(name[1:], "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(name, "]") {
			return "", ambiguous("the host is not a valid IPv6 address")
		}
		name = "[" + addr.String() + "]"
	} else if name, err = hostName(name); err != nil {
		return "", err
	}
	if port == "" || isDefaultPort(port, scheme) {
		return name, nil
	}
	return name + ":" + port, nil
}

func isDefaultPort(port, scheme string) bool {
	return port == "80" && scheme != "https" || port == "443" && scheme != "http"
}

func splitPort(h string) (name, port string, err error) {
	i := strings.LastIndexByte(h, ':')
	if i < 0 || strings.HasSuffix(h, "]") {
		return h, "", nil
	}
	name, port = h[:i], h[i+1:]
	n, convErr := strconv.ParseUint(port, 10, 16)
	if convErr != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", "", ambiguous("the port of the host is not a number from 1 to 65535 in plain decimal")
	}
	return name, port, nil
}

// hostName checks a registered name or IPv4 address. It follows the browsers' rule that a
// name whose last label is a number must be a complete IPv4 address.
func hostName(name string) (string, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "" || len(name) > 253 {
		return "", ambiguous("the host is empty or too long")
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return "", ambiguous("the host has an empty or too long label")
		}
		for i := range len(l) {
			if c := l[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return "", ambiguous("the host holds a byte that no host name has")
			}
		}
	}
	if last := labels[len(labels)-1]; isNumber(last) {
		if addr, err := netip.ParseAddr(name); err != nil || !addr.Is4() {
			return "", ambiguous("the host ends in a number but is no IPv4 address")
		}
	}
	return name, nil
}

func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		for i := range len(hex) {
			if unhex(hex[i]) < 0 {
				return false
			}
		}
		return true
	}
	for i := range len(label) {
		if label[i] < '0' || label[i] > '9' {
			return false
		}
	}
	return true
}
