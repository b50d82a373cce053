// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

/**
 * A client of Kohort, which trains generators of synthetic patients and samples from them.
 *
 * <pre>{@code
 * try (KohortClient client = KohortClient.connect("localhost:50051")) {
 *   Dataset patients = client.upload(Path.of("patients.csv")).send();
 *   Model model = client.train(patients.getName()).trainer("ctgan").parameter("epochs", 50).start().result();
 *   client.sample(model.getName()).units(1000).seed(7).writeCsv(Path.of("synthetic.csv"));
 * }
 * }</pre>
 *
 * <p>What the server stores is given as the messages of the contract ({@code io.kohort.v1}); what is asked of it is
 * built fluently. Calls that cannot harm are repeated ({@link io.kohort.client.Retry}), broken streams resume by
 * themselves, and every timeout covers all of that.
 *
 * <p>Parameters and results are not null unless their description says so; null where it is not allowed is a
 * {@link NullPointerException}. A failed call throws a {@link io.kohort.client.RpcException}, a failed job a
 * {@link io.kohort.client.JobException} where its result is asked for; a file that cannot be read or written is an
 * {@link java.io.UncheckedIOException}. A thread that is interrupted while it waits cancels its call and gets a
 * {@link io.kohort.client.CallCancelledException}, its interrupt flag set.
 *
 * <p>A {@link io.kohort.client.KohortClient} and what follows a job may be used from several threads; settings are
 * immutable; calls that are being built, and iterators, belong to one thread at a time.
 *
 * @serial exclude
 */
package io.kohort.client;
