package format_test

import "time"

// budget is the time that a damaged file may take.
const budget = 20 * time.Second
