// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Queue;
import java.util.function.Function;

/**
 * The elements of a list that comes in pages, fetched as needed.
 *
 * @param <P> the answer that holds a page
 * @param <T> the elements
 */
final class Pages<P, T> implements Iterator<T> {
  /** Elements that are asked for at once. */
  static final int SIZE = 100;

  private final Function<String, P> fetch;
  private final Function<P, List<T>> elements;
  private final Function<P, String> next;
  private final Queue<T> page = new ArrayDeque<>();
  private String token = "";
  private boolean last;

  private Pages(Function<String, P> fetch, Function<P, List<T>> elements, Function<P, String> next) {
    this.fetch = fetch;
    this.elements = elements;
    this.next = next;
  }

  /** Fetches by page token, the first by an empty one; an empty next token ends the list. */
  static <P, T> Iterable<T> of(Function<String, P> fetch, Function<P, List<T>> elements, Function<P, String> next) {
    return () -> new Pages<>(fetch, elements, next);
  }

  @Override
  public boolean hasNext() {
    while (page.isEmpty() && !last) {
      P fetched = fetch.apply(token);
      page.addAll(elements.apply(fetched));
      token = next.apply(fetched);
      last = token.isEmpty();
    }
    return !page.isEmpty();
  }

  @Override
  public T next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return page.remove();
  }
}
