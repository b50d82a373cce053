"""DataFrames in, DataFrames out: the type a column came with is the type it comes back with.

`from_frame` notes the pandas type of each column in `Column.source_dtype`; the
server keeps it without reading it; `to_frame` restores it on synthetic rows.

=========================================  ============  =========================================
pandas                                     storage       note
=========================================  ============  =========================================
int8 … uint64, Int8 … UInt64               INT64         uint64 beyond 2^63 is refused
float16 … float64, Float32, Float64        DOUBLE        NaN is null
bool, boolean                              BOOL
object of str, string, str (pandas 3)      STRING        dictionary-coded
category                                   as its cells  ordered: ORDINAL with `levels`; floats and
                                                         other types travel as text
datetime64[s … ns], with or without zone   DATETIME      to the microsecond; past 2262 in [us]
timedelta64[s … ns]                        DURATION      to the microsecond
object of bool, int, float, datetime …     as above      come back as objects
object of date                             DATE
object of Decimal                          DECIMAL       as text where 18 digits do not suffice
object of lists of str                     STRING_LIST
pyarrow-backed                             as in Arrow
=========================================  ============  =========================================

None, NaN, NaT and NA are all null. The index is not sent: call
``reset_index()`` where it holds data. Columns without a noted type (from a CSV
file, say) come back as int64 or Int64, float64, bool or boolean, text,
datetime64[us], datetime64[s] for dates and timedelta64[us].
"""

from kohort.frames.reading import from_frame
from kohort.frames.writing import to_frame

__all__ = ["from_frame", "to_frame"]
