package decode

import "io"

func openIDF(r *Reader, src Source, lim Limits) (rower, error)      { return nil, io.EOF }
func rowsIDF(r *Reader, lim Limits) (func() ([]byte, error), error) { return nil, io.EOF }
