// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// Package kohort is a client of Kohort, which trains generators on patient tables
// and streams synthetic patients from them.
//
// A [Client] uploads a table ([Client.UploadFile], [UploadRows]), trains on it
// ([Client.Train]), follows the [Job] ([Job.Events], [Job.Wait]) and reads a [Sample]
// of the model ([Client.Sample]) as structs, rows, typed columns or CSV. Values are the
// messages of the contract, package kohortv1.
//
// # Deadlines
//
// Every call takes a context, and ends as soon as it does. Its deadline holds for all
// tries of the call together; without one, [Timeouts] applies. Jobs live on the server:
// they go on when a call, a connection or this program ends.
//
// # Retries
//
// Calls are repeated where that cannot harm, as [Retry] says. Streams are resumed where
// they broke: every event of a job and every row of a sample comes once.
//
// # Errors
//
// A call that failed returns an [*Error], a job that failed a [*JobError], a stream that
// arrived altered or incomplete an [*IntegrityError]. The Err variables tell the kinds
// apart:
//
//	if errors.Is(err, kohort.ErrModelLocked) { … }
//
// No error holds a cell value.
package kohort
