package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// watching are the flags of a command that can repeat its output.
type watching struct {
	on    bool
	every time.Duration
}

func (w *watching) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&w.on, "watch", "w", false,
		"Repeat the report until interrupted. With --json, each report is one line.")
	cmd.Flags().DurationVar(&w.every, "every", 2*time.Second, "Time between two reports of --watch.")
}

// interval returns the time between reports, or 0 for a single one.
func (w *watching) interval(cmd *cobra.Command) (time.Duration, error) {
	switch {
	case w.every < 100*time.Millisecond:
		return 0, app.Usage(fmt.Errorf("--every: found %v, want 100ms or more", w.every))
	case w.on:
		return w.every, nil
	case cmd.Flags().Changed("every"):
		return 0, app.Usage(errors.New("--every has no effect without --watch"))
	}
	return 0, nil
}

func (c *cli) topics() *cobra.Command {
	cmd := command("topics [TOPIC...]", "Show the state of the topics, with warnings", kafkaFlags)
	cmd.Long = cmd.Short + ".\n\nWithout arguments, the topics are those of the configuration. Nothing is created or " +
		"changed. With the embedded\nbroker, this works while another process uses it."
	cmd.Example = "  voxelstream topics\n  voxelstream topics volumes --partitions --brokers kafka-1:9092\n" +
		"  voxelstream topics --all --json"
	cmd.ValidArgsFunction = c.completeKeys(func(k *config.Kafka) []string {
		return []string{k.Volumes, k.Classifications, k.DeadLetters}
	})
	var watch watching
	watch.flags(cmd)
	all := cmd.Flags().Bool("all", false, "Show all topics of the cluster.")
	parts := cmd.Flags().Bool("partitions", false, "Show each partition.")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		every, err := watch.interval(cmd)
		if err != nil {
			return err
		}
		if *all && len(args) > 0 {
			return app.Usage(fmt.Errorf("--all and the topic %q exclude each other", args[0]))
		}
		return stream.Topics(ctx, a, args, *all, every, func(r *stream.TopicsReport) error {
			return watched(c, every > 0, r, func(w io.Writer, r *stream.TopicsReport) {
				topicsText(w, r, c.width(), *parts)
			})
		})
	})
	return cmd
}

// completeKeys completes arguments with names in the configuration.
func (c *cli) completeKeys(names func(*config.Kafka) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		loaded, err := config.Load(c.file(), os.Environ(), overrides(cmd.Flags()))
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		left := slices.DeleteFunc(names(&loaded.Kafka), func(n string) bool { return slices.Contains(args, n) })
		return left, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cli) lag() *cobra.Command {
	cmd := command("lag [GROUP...]", "Show how far consumer groups are behind", kafkaFlags)
	cmd.Long = cmd.Short +
		".\n\nWithout arguments, the groups are kafka.group and all others that read the topics of the configuration.\n" +
		"LAG is the number of messages that are not committed yet, and BEHIND the age of the oldest of " +
		"them. Nothing is\ncreated or changed.\n\nIf a group that is given does not exist, the exit code is 1."
	cmd.Example = "  voxelstream lag\n  voxelstream lag --watch --brokers kafka-1:9092\n" +
		"  voxelstream lag voxelstream --json --max-lag 10000"
	cmd.ValidArgsFunction = c.completeKeys(func(k *config.Kafka) []string { return []string{k.Group} })
	var watch watching
	watch.flags(cmd)
	limit := cmd.Flags().Int64("max-lag", 0, "Fail with exit code 1 if a group has a larger lag. 0 sets no limit.")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		every, err := watch.interval(cmd)
		if err != nil {
			return err
		}
		if *limit < 0 {
			return app.Usage(fmt.Errorf("--max-lag: found %d, want 0 or more", *limit))
		}
		return stream.Lag(ctx, a, args, every, func(r *stream.LagReport) error {
			err := watched(c, every > 0, r, func(w io.Writer, r *stream.LagReport) { lagText(w, r, c.width()) })
			if err == nil {
				err = errors.Join(stream.CheckGroups(r, args), stream.CheckLag(r, *limit))
			}
			return err
		})
	})
	return cmd
}

// watched presents a report. If it is one of many, it replaces the previous one on a terminal; elsewhere it begins
// with its time.
func watched[T any](c *cli, many bool, r *T, text func(io.Writer, *T)) error {
	if !many || c.json {
		return present(c, r, text)
	}
	now := time.Now().Format(time.DateTime)
	if c.width() == 0 {
		return present(c, r, func(w io.Writer, r *T) {
			fmt.Fprintln(w, now)
			text(w, r)
			fmt.Fprintln(w)
		})
	}
	var b bytes.Buffer
	text(&b, screen.Printable(r))
	// Cursor to the first line, clear the screen (ECMA-48: CUP, ED).
	_, err := io.WriteString(c.out, "\x1b[H\x1b[2J"+now+"\n"+screen.Visible(b.String()))
	return err
}

// width returns the number of columns of the terminal that shows the results, or 0 if there is none.
func (c *cli) width() int {
	if !c.terminal || os.Getenv("TERM") == "dumb" {
		return 0
	}
	w, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return 0
	}
	return cmp.Or(columns(), w)
}

// columns returns the width in the environment variable COLUMNS, or 0 if it is not a positive number.
func columns() int {
	n, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// column is a column of a table. On a terminal that is too narrow, the columns with the largest rank go first.
type column struct {
	name  string
	rank  int
	right bool // numbers
	cells []string
}

// writeTable writes columns side by side, in at most width characters unless that is 0.
func writeTable(w io.Writer, width int, columns []column) {
	sizes := make([]int, len(columns))
	total := 0
	for i, c := range columns {
		sizes[i] = len([]rune(c.name))
		for _, cell := range c.cells {
			sizes[i] = max(sizes[i], len([]rune(cell)))
		}
		total += sizes[i] + 2
	}
	var hidden []string
	for width > 0 && total-2 > width && len(columns) > 1 {
		drop := 0
		for i, c := range columns {
			if c.rank >= columns[drop].rank {
				drop = i
			}
		}
		total -= sizes[drop] + 2
		hidden = append(hidden, columns[drop].name)
		columns = append(append([]column{}, columns[:drop]...), columns[drop+1:]...)
		sizes = append(append([]int{}, sizes[:drop]...), sizes[drop+1:]...)
	}
	for row := -1; row < len(columns[0].cells); row++ {
		var line strings.Builder
		for i, c := range columns {
			cell := c.name
			if row >= 0 {
				cell = c.cells[row]
			}
			pad := strings.Repeat(" ", sizes[i]-len([]rune(cell)))
			if c.right {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		fmt.Fprintln(w, cut(strings.TrimRight(line.String(), " "), width))
	}
	if len(hidden) > 0 {
		fmt.Fprintln(w, wrapped("Left out for want of width: "+strings.Join(hidden, ", ")+".", "", width))
	}
}

// cut shortens a line to a number of characters, unless that is 0.
func cut(line string, width int) string {
	if r := []rune(line); width > 0 && len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return line
}

// rows makes the columns of a table: the cells of each row are in the order of the columns.
func rows(columns []column, cells [][]string) []column {
	for _, row := range cells {
		for i, cell := range row {
			columns[i].cells = append(columns[i].cells, cell)
		}
	}
	return columns
}

const unknown = "?"

func topicsText(w io.Writer, r *stream.TopicsReport, width int, parts bool) {
	var cells [][]string
	for _, t := range r.Topics {
		if t.Missing {
			cells = append(cells, []string{t.Topic, "-", "-", "-", "-", "-", "-", "-", "-"})
			continue
		}
		cells = append(cells, []string{
			t.Topic, fmt.Sprint(t.Partitions), fmt.Sprint(t.Replication), fmt.Sprint(t.Messages), byteCount(t.Bytes),
			age(r.Time, t.Oldest), age(r.Time, t.Newest), orUnknown(t.CleanupPolicy), retention(&t),
		})
	}
	writeTable(w, width, rows([]column{
		{name: "TOPIC"},
		{name: "PARTITIONS", rank: 2, right: true},
		{name: "REPLICAS", rank: 3, right: true},
		{name: "MESSAGES", rank: 1, right: true},
		{name: "SIZE", rank: 4, right: true},
		{name: "OLDEST", rank: 6, right: true},
		{name: "NEWEST", rank: 5, right: true},
		{name: "CLEANUP", rank: 7},
		{name: "RETENTION", rank: 8},
	}, cells))
	if parts {
		fmt.Fprintln(w)
		partitionsText(w, r, width)
	}
	for _, t := range r.Topics {
		for _, warning := range t.Warnings {
			fmt.Fprintf(w, "warning: %s: %s\n", t.Topic, warning)
		}
	}
}

func partitionsText(w io.Writer, r *stream.TopicsReport, width int) {
	var cells [][]string
	for _, t := range r.Topics {
		for _, p := range t.List {
			leader := p.Leader
			if leader == "" {
				leader = "none"
			}
			cells = append(cells, []string{
				t.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.First), fmt.Sprint(p.End),
				fmt.Sprintf("%d/%d", p.InSync, p.Replicas), byteCount(p.Bytes), age(r.Time, p.Oldest), age(r.Time, p.Newest),
				leader,
			})
		}
	}
	writeTable(w, width, rows([]column{
		{name: "TOPIC"},
		{name: "PARTITION", rank: 1, right: true},
		{name: "FIRST", rank: 4, right: true},
		{name: "END", rank: 2, right: true},
		{name: "IN SYNC", rank: 3, right: true},
		{name: "SIZE", rank: 6, right: true},
		{name: "OLDEST", rank: 8, right: true},
		{name: "NEWEST", rank: 7, right: true},
		{name: "LEADER", rank: 5},
	}, cells))
}

func lagText(w io.Writer, r *stream.LagReport, width int) {
	for i, g := range r.Groups {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if g.Missing {
			fmt.Fprintln(w, cut(fmt.Sprintf("group %s: does not exist (no members, nothing committed)", g.Group), width))
			continue
		}
		state := strings.ToLower(orUnknown(g.State))
		fmt.Fprintln(w, cut(fmt.Sprintf("group %s: %s, %s, lag %d, behind %s", g.Group, state,
			app.Count(g.Members, "member"), g.Lag, behind(g.BehindSeconds)), width))
		var cells [][]string
		for _, p := range g.Partitions {
			committed, end := fmt.Sprint(p.Committed), fmt.Sprint(p.End)
			if p.Committed < 0 {
				committed = "none"
			}
			if p.End < 0 {
				end = unknown
			}
			cells = append(cells, []string{
				p.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.Lag), behind(p.BehindSeconds), committed, end, owner(&p),
			})
		}
		if len(cells) > 0 {
			writeTable(w, width, rows([]column{
				{name: "TOPIC", rank: 1},
				{name: "PARTITION", right: true},
				{name: "LAG", right: true},
				{name: "BEHIND", rank: 2, right: true},
				{name: "COMMITTED", rank: 4, right: true},
				{name: "END", rank: 5, right: true},
				{name: "OWNER", rank: 3},
			}, cells))
		}
		for _, p := range g.Partitions {
			if p.Warning != "" {
				fmt.Fprintf(w, "warning: %s/%d: %s\n", p.Topic, p.Partition, p.Warning)
			}
		}
		for _, warning := range g.Warnings {
			fmt.Fprintf(w, "warning: group %s: %s\n", g.Group, warning)
		}
	}
}

// memberDigits of the random end of a member ID are enough to tell members with the same client ID apart.
const memberDigits = 4

// randomEnd is the UUID, or number, that a broker appends to a client or instance ID.
var randomEnd = regexp.MustCompile(`-[0-9a-zA-Z-]{32,36}$`)

// owner returns the member's client or instance ID with the first digits of its UUID, and its host.
func owner(p *stream.LagOfPart) string {
	if p.Owner == "" {
		return "none"
	}
	id := p.Owner
	if at := randomEnd.FindStringIndex(id); at != nil {
		id = id[:at[0]+1+memberDigits]
	}
	host, _, err := net.SplitHostPort(p.Host)
	if err != nil {
		host = p.Host
	}
	return strings.TrimSpace(id + " " + host)
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

// retention returns the limits of a topic's log.
func retention(t *stream.TopicReport) string {
	var limits []string
	switch {
	case t.RetentionMS == nil:
		return unknown
	case *t.RetentionMS >= 0:
		limits = append(limits, short(time.Duration(*t.RetentionMS)*time.Millisecond))
	}
	if t.RetentionBytes != nil && *t.RetentionBytes >= 0 {
		limits = append(limits, byteCount(t.RetentionBytes)+"/partition")
	}
	if len(limits) == 0 {
		return "no limit"
	}
	return strings.Join(limits, ", ")
}

// byteCount returns a size with a binary unit and about three digits.
func byteCount(n *int64) string {
	if n == nil {
		return unknown
	}
	if *n < 1<<10 {
		return fmt.Sprintf("%d B", *n)
	}
	v, unit := float64(*n), 0
	for units := "KMGT"; v >= 1<<10 && unit < len(units); unit++ {
		v /= 1 << 10
	}
	if v >= 100 {
		return fmt.Sprintf("%.0f %ciB", v, "KMGT"[unit-1])
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGT"[unit-1])
}

// age returns how long ago a time was.
func age(now time.Time, t *time.Time) string {
	if t == nil {
		return "-"
	}
	if d := now.Sub(*t); d >= 0 {
		return short(d)
	}
	return "in " + short(t.Sub(now))
}

func behind(seconds *float64) string {
	if seconds == nil {
		return unknown
	}
	return short(time.Duration(*seconds * float64(time.Second)))
}

// short returns a duration with its two largest units.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}
