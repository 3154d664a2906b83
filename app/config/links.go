package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Kubernetes gives each container variables for the services of its namespace, and Docker for its links. Those of a
// service named voxelstream, or voxelstream-kafka, have the prefix of our variables. The names and values are those of
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
var links = []struct {
	name  *regexp.Regexp
	value func(string) bool
}{
	{regexp.MustCompile(`_SERVICE_HOST$`), isAddress},
	{regexp.MustCompile(`_SERVICE_PORT(_[A-Z0-9_]+)?$`), isPort},
	{regexp.MustCompile(`_PORT(_[0-9]+_(TCP|UDP|SCTP))?$`), isTarget},
	{regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)_PROTO$`), isProtocol},
	{regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)_PORT$`), isPort},
	{regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)_ADDR$`), isAddress},
}

// isServiceLink reports whether a variable describes a service and sets no key: both the name and the value are those
// that Kubernetes gives. VOXELSTREAM_BROKER_PORT=9092 is the port of our broker, but
// VOXELSTREAM_BROKER_PORT=tcp://10.0.0.7:9092 is where to find the service voxelstream-broker.
func isServiceLink(name, value string) bool {
	for _, l := range links {
		if l.value(value) && l.name.MatchString(name) {
			return true
		}
	}
	return false
}

// isTarget accepts values like tcp://10.0.0.7:9092.
func isTarget(s string) bool {
	protocol, at, ok := strings.Cut(s, "://")
	_, err := netip.ParseAddrPort(at)
	return ok && err == nil && isProtocol(protocol)
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isProtocol(s string) bool { return s == "tcp" || s == "udp" || s == "sctp" }
