// Prints what benchstat's own code (golang.org/x/perf/benchmath, AssumeNothing) makes of numbers; benchstat.py asks it.
// To be built within a checkout of golang.org/x/perf, as cmd/numbers/main.go: go build ./cmd/numbers
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/perf/benchmath"
)

func numbers(text string) []float64 {
	var values []float64
	for _, word := range strings.Fields(text) {
		value, err := strconv.ParseFloat(word, 64)
		if err != nil {
			panic(err)
		}
		values = append(values, value)
	}
	return values
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<24), 1<<24)
	thresholds := benchmath.DefaultThresholds
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ",")
		a := benchmath.NewSample(numbers(fields[1]), &thresholds)
		switch fields[0] {
		case "mwu":
			b := benchmath.NewSample(numbers(fields[2]), &thresholds)
			fmt.Printf("%.17g\n", benchmath.AssumeNothing.Compare(a, b).P)
		case "median":
			confidence, _ := strconv.ParseFloat(fields[2], 64)
			s := benchmath.AssumeNothing.Summary(a, confidence)
			fmt.Printf("%.17g %.17g %.17g\n", s.Lo, s.Hi, s.Confidence)
		}
	}
}
