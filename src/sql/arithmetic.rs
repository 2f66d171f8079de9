//! Arithmetic that gives what it says: integers that do not fit are an error and do not wrap around, and a NaN that comes of it is as every other
//! one, because comparing and sorting go by bits. Texts that are joined have a bound.
//!
//! Types are settled when this rule looks at a plan: it puts functions of its own in the place of operators.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Datum, Scalar},
    compute::kernels::numeric,
    datatypes::{DataType, Float32Type, Float64Type},
};
use datafusion::{
    common::{DFSchema, config::ConfigOptions, exec_err, tree_node::Transformed},
    error::Result,
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
    optimizer::AnalyzerRule,
};

use super::{expression::each_expression, function::bounded, scan::plain_floats};

const PLAIN: &str = "plain";

/// The rule.
#[derive(Debug)]
pub struct ArithmeticAsSaid {
    plain: Arc<ScalarUDF>,
    joined: Arc<ScalarUDF>,
    checked: [Arc<ScalarUDF>; 3],
}

impl ArithmeticAsSaid {
    pub fn new() -> ArithmeticAsSaid {
        let checked = [Operator::Plus, Operator::Minus, Operator::Multiply].map(|operator| {
            let (name, work): (_, ArithmeticKernel) = match operator {
                Operator::Plus => ("plus", numeric::add),
                Operator::Minus => ("minus", numeric::sub),
                _ => ("times", numeric::mul),
            };
            Arc::new(ScalarUDF::from(Checked { name, work, signature: Signature::any(2, Volatility::Immutable) }))
        });
        let plain = Arc::new(ScalarUDF::from(Plain { signature: Signature::any(1, Volatility::Immutable) }));
        ArithmeticAsSaid { plain, joined: Arc::new(bounded::joined()), checked }
    }

    fn of_expression(&self, node: Expr, schema: &DFSchema) -> Transformed<Expr> {
        // A type that is not known belongs to an outer statement.
        let result = || node.get_type(schema).ok();
        match &node {
            Expr::BinaryExpr(BinaryExpr { op, .. }) if is_arithmetic(*op) => match result() {
                Some(DataType::Float64 | DataType::Float32) => self.made_plain(node),
                Some(kind) if kind.is_integer() => self.made_checked(node, &kind, schema),
                _ => Transformed::no(node),
            },
            Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => self.made_bounded(node, schema),
            Expr::Negative(_) | Expr::ScalarFunction(_) if matches!(result(), Some(DataType::Float64 | DataType::Float32)) => {
                self.made_plain(node)
            }
            _ => Transformed::no(node),
        }
    }

    /// Once, at the outside: on its way a NaN stays one.
    fn made_plain(&self, node: Expr) -> Transformed<Expr> {
        let node = match node {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                Expr::BinaryExpr(BinaryExpr { left: Box::new(self.inside(*left)), op, right: Box::new(self.inside(*right)) })
            }
            Expr::Negative(of) => Expr::Negative(Box::new(self.inside(*of))),
            Expr::ScalarFunction(function) if function.func.name() == PLAIN => return Transformed::no(Expr::ScalarFunction(function)),
            other => other,
        };
        Transformed::yes(self.plain.call(vec![node]))
    }

    fn inside(&self, node: Expr) -> Expr {
        match node {
            Expr::ScalarFunction(mut function) if function.func.name() == PLAIN => {
                function.args.pop().unwrap_or_else(|| self.plain.call(vec![]))
            }
            other => other,
        }
    }

    /// `||` with a bound; of two texts of one type, as the rules before leave it.
    fn made_bounded(&self, node: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = node else { return Transformed::no(node) };
        let (one, other) = (left.get_type(schema).ok(), right.get_type(schema).ok());
        if one == other && one.is_some_and(|kind| kind.is_string()) {
            Transformed::yes(self.joined.call(vec![*left, *right]))
        } else {
            Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
    }

    fn made_checked(&self, node: Expr, kind: &DataType, schema: &DFSchema) -> Transformed<Expr> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = node else { return Transformed::no(node) };
        let same = |side: &Expr| side.get_type(schema).is_ok_and(|side| side == *kind);
        let function = match op {
            Operator::Plus => &self.checked[0],
            Operator::Minus => &self.checked[1],
            Operator::Multiply => &self.checked[2],
            _ => return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        };
        if same(&left) && same(&right) {
            Transformed::yes(function.call(vec![*left, *right]))
        } else {
            Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
    }
}

fn is_arithmetic(operator: Operator) -> bool {
    matches!(operator, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

impl AnalyzerRule for ArithmeticAsSaid {
    fn name(&self) -> &'static str {
        "arithmetic_as_said"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan
            .transform_up_with_subqueries(|node| each_expression(node, |expression, schema| self.of_expression(expression, schema)))?
            .data)
    }
}

/// A number whose NaN has the bits of every other one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Plain {
    signature: Signature,
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &'static str {
        PLAIN
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().map_or_else(|| exec_err!("nothing to make plain"), Ok)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let plain = |column: &ArrayRef| plain_floats::<Float64Type>(column).or_else(|| plain_floats::<Float32Type>(column));
        match arguments.args.into_iter().next() {
            Some(ColumnarValue::Array(column)) => Ok(ColumnarValue::Array(plain(&column).unwrap_or(column))),
            Some(ColumnarValue::Scalar(scalar)) => {
                let column = scalar.to_array()?;
                let plain = plain(&column).map(|column| datafusion::common::ScalarValue::try_from_array(&column, 0)).transpose()?;
                Ok(ColumnarValue::Scalar(plain.unwrap_or(scalar)))
            }
            None => exec_err!("nothing to make plain"),
        }
    }
}

type ArithmeticKernel = fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, arrow::error::ArrowError>;

/// An operator over integers of one type that fails where the result does not fit.
#[derive(Debug)]
struct Checked {
    name: &'static str,
    work: ArithmeticKernel,
    signature: Signature,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Checked) -> bool {
        self.name == other.name
    }
}

impl Eq for Checked {}

impl std::hash::Hash for Checked {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().map_or_else(|| exec_err!("{} takes two integers", self.name), Ok)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = arguments.args.as_slice() else { return exec_err!("{} takes two integers", self.name) };
        let failed = |error: arrow::error::ArrowError| match error {
            arrow::error::ArrowError::ArithmeticOverflow(what) => {
                super::error::invalid(format!("{what}: the result does not fit; cast to DECIMAL(38, 0) or DOUBLE"))
            }
            other => other.into(),
        };
        let work = self.work;
        let done = match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => work(left, right),
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => work(left, &Scalar::new(right.to_array()?)),
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => work(&Scalar::new(left.to_array()?), right),
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let done = work(&left.to_array()?, &right.to_array()?).map_err(failed)?;
                return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&done, 0)?));
            }
        };
        done.map(ColumnarValue::Array).map_err(failed)
    }
}
