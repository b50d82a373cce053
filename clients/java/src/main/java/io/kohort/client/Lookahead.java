// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * An iterator over what can only be known to be there by waiting for it. For one thread at a time.
 *
 * @param <T> the elements
 */
abstract class Lookahead<T> implements Iterator<T> {
  private T next;

  /** Waits for the next element; null at the end, from then on. */
  abstract T fetch();

  @Override
  public final boolean hasNext() {
    if (next == null) {
      next = fetch();
    }
    return next != null;
  }

  @Override
  public final T next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    T taken = next;
    next = null;
    return taken;
  }
}
