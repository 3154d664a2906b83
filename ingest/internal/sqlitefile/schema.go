package sqlitefile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// declaration is what a CREATE TABLE says of how records are stored.
type declaration struct {
	columns []string
	rowid   int // index of the column that is the rowid, -1 if none is
}

func (d *declaration) index(column string) int {
	return slices.IndexFunc(d.columns, func(c string) bool { return strings.EqualFold(c, column) })
}

// parseTable reads a CREATE TABLE as SQLite stores it in the schema.
// https://www.sqlite.org/lang_createtable.html
func parseTable(sql string) (*declaration, error) {
	l := &lexer{text: sql}
	for {
		t := l.next()
		if t.text == "" {
			return nil, errors.New("found no columns")
		}
		if t.is("VIRTUAL") || t.is("AS") {
			return nil, fmt.Errorf("found %.40q, want a plain table", sql)
		}
		if t.text == "(" && !t.quoted {
			break
		}
	}
	d := &declaration{rowid: -1}
	integers := map[string]bool{} // columns of type INTEGER, in lower case
	for {
		tokens, more, err := l.item()
		if err != nil {
			return nil, err
		}
		if err := d.add(tokens, integers); err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	for t := l.next(); t.text != ""; t = l.next() {
		if t.is("WITHOUT") {
			return nil, errors.New("found a table without rowids, want a plain table")
		}
	}
	return d, nil
}

// add takes a column or a constraint of the table.
func (d *declaration) add(tokens []token, integers map[string]bool) error {
	if len(tokens) == 0 {
		return errors.New("found a column without a name")
	}
	first := tokens[0]
	if slices.ContainsFunc([]string{"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}, first.is) {
		if first.is("CONSTRAINT") && len(tokens) > 2 {
			tokens = tokens[2:]
		}
		// PRIMARY KEY (column)
		if len(tokens) >= 5 && tokens[0].is("PRIMARY") && tokens[2].text == "(" && tokens[4].text == ")" &&
			integers[strings.ToLower(tokens[3].text)] {
			d.rowid = d.index(tokens[3].text)
		}
		return nil
	}
	at := len(d.columns)
	d.columns = append(d.columns, first.text)
	depth, primary := 0, false
	for i, t := range tokens[1:] {
		switch {
		case t.quoted:
		case t.text == "(":
			depth++
		case t.text == ")":
			depth--
		case depth > 0:
		case t.is("AS"):
			return fmt.Errorf("column %s is computed, want a plain table", first.text)
		case t.is("PRIMARY"):
			rest := tokens[1+i+1:]
			primary = len(rest) < 2 || !rest[1].is("DESC") // one that descends is not the rowid
		}
	}
	// Only the type INTEGER by itself makes a primary key the rowid.
	if len(tokens) > 1 && strings.EqualFold(tokens[1].text, "INTEGER") && (len(tokens) == 2 || !tokens[2].isType()) {
		integers[strings.ToLower(first.text)] = true
		if primary {
			d.rowid = at
		}
	}
	return nil
}

// token is a word, a number, a text or one other character.
type token struct {
	text   string
	quoted bool
}

func (t token) is(keyword string) bool { return !t.quoted && strings.EqualFold(t.text, keyword) }

// isType reports whether a token that follows the first word of a type belongs to the type.
func (t token) isType() bool {
	if t.text == "(" {
		return true
	}
	return t.quoted || t.text != "" && isWord(t.text[0]) &&
		!slices.ContainsFunc([]string{
			"CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS",
		}, t.is)
}

// lexer splits SQL into tokens.
type lexer struct {
	text string
	at   int
}

// item returns the tokens up to a comma, or up to the parenthesis that closes the list; more reports a comma.
func (l *lexer) item() (tokens []token, more bool, err error) {
	for depth := 0; ; {
		t := l.next()
		switch {
		case t.text == "" && !t.quoted:
			return nil, false, errors.New("the columns are cut off")
		case t.quoted:
		case t.text == "(":
			depth++
		case t.text == ")" && depth == 0:
			return tokens, false, nil
		case t.text == ")":
			depth--
		case t.text == "," && depth == 0:
			return tokens, true, nil
		}
		tokens = append(tokens, t)
	}
}

// next returns the next token; its text is empty at the end.
func (l *lexer) next() token {
	l.blanks()
	rest := l.text[l.at:]
	if rest == "" {
		return token{}
	}
	if i := strings.IndexByte("\"'`[", rest[0]); i >= 0 {
		return token{l.quoted("\"'`]"[i]), true}
	}
	n := 0
	for n < len(rest) && isWord(rest[n]) {
		n++
	}
	n = max(n, 1)
	l.at += n
	return token{text: rest[:n]}
}

// blanks skips blanks and comments.
func (l *lexer) blanks() {
	skip := func(end string, extra int) {
		if i := strings.Index(l.text[l.at+extra:], end); i >= 0 {
			l.at += extra + i + len(end)
		} else {
			l.at = len(l.text)
		}
	}
	for l.at < len(l.text) {
		switch rest := l.text[l.at:]; {
		case strings.HasPrefix(rest, "--"):
			skip("\n", 2)
		case strings.HasPrefix(rest, "/*"):
			skip("*/", 2)
		case rest[0] <= ' ':
			l.at++
		default:
			return
		}
	}
}

// quoted returns what is in quotes that end is the closing one of; it is doubled inside.
func (l *lexer) quoted(end byte) string {
	var b strings.Builder
	for l.at++; l.at < len(l.text); l.at++ {
		c := l.text[l.at]
		if c == end {
			l.at++
			if end == ']' || l.at == len(l.text) || l.text[l.at] != end {
				break
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}
