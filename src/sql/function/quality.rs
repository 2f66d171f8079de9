//! `is_good(quality)`, `is_uncertain(quality)`, `is_bad(quality)`: the severity of a quality, its two highest bits (OPC 10000-4, `StatusCode`).

use std::sync::Arc;

use arrow::{
    array::{AsArray, BooleanArray},
    datatypes::{DataType, UInt32Type},
};
use datafusion::{
    error::Result,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use historian_model::Quality;

pub fn functions() -> Vec<ScalarUDF> {
    let kinds = [("is_good", SeverityTest::Good), ("is_uncertain", SeverityTest::Uncertain), ("is_bad", SeverityTest::Bad)];
    kinds
        .map(|(name, kind)| {
            ScalarUDF::from(SeverityFunction { name, kind, signature: Signature::exact(vec![DataType::UInt32], Volatility::Immutable) })
        })
        .into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SeverityTest {
    Good,
    Uncertain,
    Bad,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SeverityFunction {
    name: &'static str,
    kind: SeverityTest,
    signature: Signature,
}

impl ScalarUDFImpl for SeverityFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let qualities = arrays[0].as_primitive::<UInt32Type>();
        let is = |quality: u32| {
            let quality = Quality(quality);
            match self.kind {
                SeverityTest::Good => quality.is_good(),
                SeverityTest::Uncertain => !quality.is_good() && !quality.is_bad(),
                SeverityTest::Bad => quality.is_bad(),
            }
        };
        let answers = BooleanArray::from_unary(qualities, is);
        debug_assert_eq!(answers.len(), qualities.len());
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
