// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.util.Iterator;

/**
 * Elements that come from a call under way. Closing it cancels the call at once, from any thread; reading to the end
 * closes it too. Read by one thread at a time.
 *
 * @param <T> the elements
 */
public interface CloseableIterator<T> extends Iterator<T>, AutoCloseable {
  /** Cancels the call, if it is still under way; safe to repeat. There are no elements after that. */
  @Override
  void close();
}
