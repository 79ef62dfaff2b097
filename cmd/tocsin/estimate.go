package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"tocsin/internal/estimate"
)

type estimateCmd struct {
	Check bool   `help:"Compare the answers with \"out\" of the cases, to \"tol\" or \"tol_rel\", and name the differences."`
	File  string `arg:"" help:"Cases: {\"cases\":[{\"id\", \"estimator\", \"in\"}]}, a list of them, or one a line; - for standard input."`
}

// Run answers the cases of a file. It needs no data directory.
func (c estimateCmd) Run(g *globals) error {
	var in io.Reader = os.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		in = f
	}
	w := bufio.NewWriter(os.Stdout)
	n, failed, differ, err := c.answer(w, in, g.JSON)
	if err = errors.Join(err, w.Flush()); err != nil {
		return err
	}
	if failed > 0 {
		err = fmt.Errorf("%d of %d cases have no answer; \"error\" says what to mend", failed, n)
	}
	if differ > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d cases differ from what they expect", differ, n))
	}
	return err
}

// answer writes an answer a line, or one document, and differences to standard
// error. It counts the cases, those without an answer, and those that differ.
func (c estimateCmd) answer(w io.Writer, in io.Reader, document bool) (n, failed, differ int, err error) {
	before, between, after := "", "\n", "\n"
	if document {
		before, between, after = `{"cases":[`, ",", "]}\n"
	}
	for x := range estimate.Cases(in) {
		a := x.Answer()
		if a.Error != "" {
			failed++
		}
		b, err := json.Marshal(a)
		if err != nil {
			return n, failed, differ, err
		}
		if _, err := fmt.Fprintf(w, "%s%s", before, b); err != nil {
			return n, failed, differ, err
		}
		before = between
		n++
		if !c.Check {
			continue
		}
		list := x.Check(a)
		if len(list) > 0 {
			differ++
		}
		for _, d := range list {
			fmt.Fprintln(os.Stderr, plain(x.ID+": "+d))
		}
	}
	_, err = io.WriteString(w, after)
	return n, failed, differ, err
}
