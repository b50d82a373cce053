// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// partialFrom gives the rows to complete from row `first` on.
func partialFrom(rows *pb.PartialRows, first int64) (*pb.PartialRows, error) {
	if first == 0 {
		return rows, nil
	}
	return nil, wrongUse("partial rows are not resumed")
}
