//! Records, and the choice of one value of them.

use occam_config::Error;
use occam_graph::ValueId;
use occam_zoo::SiteCall;

/// Where one recorded value is found in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A value of the graph.
    Value(ValueId),
    /// The batch's class indices, `i64 [B]`.
    Labels,
}

/// What one call left: one value, or a tuple, even of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<T = Slot> {
    /// One value.
    Single(T),
    /// Values in order.
    Tuple(Vec<T>),
}

/// Which half of a call is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Positional arguments.
    Inputs,
    /// What is returned.
    Outputs,
}

/// The records of one recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// Found in the graph: one a call, in order of execution.
    Known(Vec<Record>),
    /// Of calls outside the graph, whose number and arguments a run will tell.
    Site {
        /// The place as the task calls it, such as `head.loss_module`.
        path: String,
        /// Which half of the calls.
        part: Part,
    },
}

/// One value of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Found in the graph.
    Known(Slot),
    /// Of a call outside the graph.
    Site {
        /// The place.
        path: String,
        /// Which half of the call.
        part: Part,
        /// Which call.
        record_idx: i64,
        /// Which item of the record.
        data_idx: Option<i64>,
    },
}

impl Records {
    /// Chooses one value: `data_idx` of record `record_idx`, both from 0, or from the end where negative.
    ///
    /// # Errors
    /// There is no such record or item, the record is a tuple and `data_idx` is not given, or it is none and
    /// `data_idx` is given. Calls outside the graph are checked when they have run.
    pub fn select(&self, record_idx: i64, data_idx: Option<i64>) -> Result<Selection, Error> {
        Ok(match self {
            Records::Known(records) => Selection::Known(*pick(records, record_idx, data_idx)?),
            Records::Site { path, part } => {
                Selection::Site { path: path.clone(), part: *part, record_idx, data_idx }
            }
        })
    }
}

/// One half of a call as a record.
pub(super) fn of_site(call: &SiteCall, part: Part) -> Record<occam_engine::Tensor> {
    match (part, call.outputs.as_slice()) {
        (Part::Inputs, _) => Record::Tuple(call.inputs.clone()),
        (Part::Outputs, [one]) => Record::Single(one.clone()),
        (Part::Outputs, many) => Record::Tuple(many.to_vec()),
    }
}

/// Chooses one value; see [`Records::select`].
pub(super) fn pick<T>(records: &[Record<T>], record_idx: i64, data_idx: Option<i64>) -> Result<&T, Error> {
    let record = at(records, record_idx).ok_or_else(|| {
        let found = count(records.len(), "record");
        Error::new(format!("record_idx={record_idx} is out of range: there {found}"))
            .with_help("a module has one record for each of its calls in one forward pass")
    })?;
    match (record, data_idx) {
        (Record::Single(value), None) => Ok(value),
        (Record::Tuple(values), Some(i)) => at(values, i).ok_or_else(|| {
            let found = count(values.len(), "item");
            Error::new(format!("data_idx={i} is out of range: there {found} in the record"))
        }),
        (Record::Tuple(values), None) => {
            let found = values.len();
            Err(Error::new(format!("the record is a tuple of {found}, but one tensor is needed"))
                .with_help("set `data_idx` to choose an item of the tuple, from 0"))
        }
        (Record::Single(_), Some(i)) => {
            Err(Error::new(format!("data_idx={i} chooses an item of a tuple, but the record is one tensor"))
                .with_help("leave `data_idx` out"))
        }
    }
}

/// The item at an index of Python's kind.
fn at<T>(items: &[T], index: i64) -> Option<&T> {
    let magnitude = usize::try_from(index.unsigned_abs()).ok()?;
    items.get(if index < 0 { items.len().checked_sub(magnitude)? } else { magnitude })
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("is 1 {what}") } else { format!("are {n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_as_the_original() {
        let records = [Record::Single('a'), Record::Tuple(vec!['b', 'c']), Record::Tuple(vec!['d'])];
        let pick =
            |record_idx, data_idx| pick(&records, record_idx, data_idx).map_err(|e| e.message().to_owned());
        for (record_idx, data_idx, wanted) in [
            (0, None, Ok('a')),
            (1, Some(0), Ok('b')),
            (1, Some(1), Ok('c')),
            (1, Some(-1), Ok('c')),
            (-1, Some(0), Ok('d')),
            (-3, None, Ok('a')),
            (0, Some(0), Err("data_idx=0 chooses an item of a tuple, but the record is one tensor")),
            (1, None, Err("the record is a tuple of 2, but one tensor is needed")),
            (2, None, Err("the record is a tuple of 1, but one tensor is needed")),
            (2, Some(1), Err("data_idx=1 is out of range: there is 1 item in the record")),
            (2, Some(-2), Err("data_idx=-2 is out of range: there is 1 item in the record")),
            (3, None, Err("record_idx=3 is out of range: there are 3 records")),
            (i64::MIN, None, Err("record_idx=-9223372036854775808 is out of range: there are 3 records")),
        ] {
            assert_eq!(pick(record_idx, data_idx).copied(), wanted.map_err(str::to_owned));
        }
    }
}
