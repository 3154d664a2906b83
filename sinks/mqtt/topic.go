package mqtt

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/voxelstream/voxelstream/record"
)

// template is a topic with placeholders.
type template string

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// values are the placeholders and what they stand for.
var values = map[string]func(c *record.Classification) string{
	"{stream}": func(c *record.Classification) string { return c.Stream },
	"{class}":  func(c *record.Classification) string { return strconv.Itoa(c.Class) },
	"{name}":   func(c *record.Classification) string { return c.Name },
	"{model}":  func(c *record.Classification) string { return c.Model.Name },
}

func (t template) validate() error {
	for _, p := range placeholder.FindAllString(string(t), -1) {
		if values[p] == nil {
			return fmt.Errorf("found %s, want {stream}, {class}, {name} or {model}", p)
		}
	}
	rest := placeholder.ReplaceAllString(string(t), "")
	switch {
	case strings.ContainsAny(rest, "{}"):
		return errors.New("found a brace without its counterpart")
	case strings.ContainsAny(rest, "+#"):
		return errors.New("found a wildcard, want a topic to publish on")
	case !valid(rest):
		return errors.New("found a control character or invalid UTF-8")
	case strings.HasPrefix(rest, "$"):
		return errors.New("found a topic that begins with $, which brokers reserve")
	}
	return nil
}

// maxString is the maximum length of a topic and of a user property in bytes (MQTT 5.0, section 1.5.4).
const maxString = 1<<16 - 1

// expand returns the topic for a classification.
func (t template) expand(c *record.Classification) (string, error) {
	topic := placeholder.ReplaceAllStringFunc(string(t), func(p string) string { return escape(values[p](c)) })
	if strings.HasPrefix(topic, "$") {
		topic = "%24" + topic[1:]
	}
	if topic == "" || len(topic) > maxString {
		return "", fmt.Errorf("found a topic of %d bytes, want 1 to %d", len(topic), maxString)
	}
	return topic, nil
}

// valid reports whether a text can be a topic or a property: brokers may close the connection after control characters
// and the noncharacters of Unicode (MQTT 5.0, section 1.5.4).
func valid(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !printable(r) })
}

func printable(r rune) bool {
	return !unicode.IsControl(r) && !unicode.Is(unicode.Noncharacter_Code_Point, r)
}

// escape returns a value as a single level of a topic. Different values have different results.
func escape(value string) string {
	var b strings.Builder
	for i, r := range value {
		size := utf8.RuneLen(r)
		invalid := r == utf8.RuneError && !strings.HasPrefix(value[i:], string(utf8.RuneError))
		if invalid {
			size = 1
		}
		if invalid || !printable(r) || strings.ContainsRune("/+#%", r) {
			for _, octet := range []byte(value[i : i+size]) {
				fmt.Fprintf(&b, "%%%02X", octet)
			}
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
