// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Column;

/** What the cells of a column are, in words for error texts. */
final class Storages {
  private Storages() {}

  static String name(Column column) {
    switch (column.getStorage()) {
      case STORAGE_BOOL:
        return "booleans";
      case STORAGE_INT64:
        return "integers";
      case STORAGE_DOUBLE:
        return "doubles";
      case STORAGE_DECIMAL:
        return "decimals";
      case STORAGE_STRING:
        return "strings";
      case STORAGE_DATE:
        return "dates";
      case STORAGE_DATETIME:
        return column.getTimeZone().isEmpty() ? "local date-times" : "instants";
      case STORAGE_DURATION:
        return "durations";
      case STORAGE_STRING_LIST:
        return "lists of strings";
      default:
        return "cells of an unknown storage";
    }
  }
}
